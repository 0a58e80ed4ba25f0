//! Bars that show how far a run is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, sleep};

/// Shows progress, or nothing.
#[derive(Clone)]
pub struct Progress {
    shown: bool,
}

impl Progress {
    /// Bars on standard error, where it is a terminal and they are wanted.
    pub fn new(shown: bool) -> Self {
        Self { shown }
    }

    /// A bar of so many steps.
    pub fn bar(&self, name: &str, length: u64) -> ProgressBar {
        let target = if self.shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let template = "{prefix:>12} [{bar:32}] {pos}/{len} {elapsed_precise} {msg}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(name.to_owned());
        bar
    }

    /// Passes time, with a bar that says how much and a message that is made anew every half second.
    pub async fn pass(&self, name: &str, time: Duration, mut message: impl FnMut() -> String) {
        let bar = self.bar(name, time.as_secs());
        let begin = Instant::now();
        while begin.elapsed() < time {
            sleep(Duration::from_millis(500).min(time - begin.elapsed().min(time))).await;
            bar.set_position(begin.elapsed().as_secs());
            bar.set_message(message());
        }
        bar.finish_and_clear();
    }

    /// Says something lasting.
    pub fn say(&self, text: &str) {
        eprintln!("{text}");
    }
}
