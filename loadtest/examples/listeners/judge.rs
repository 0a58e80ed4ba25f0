//! What listeners heard, held against the log. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use crate::calls::{Call, Logged};
use crate::door::Heard;

/// What became of a crowd.
#[derive(Debug, Default)]
pub struct Figures {
    listeners: usize,
    complete: usize,
    deliveries: usize,
    lost: usize,
    twice: usize,
    disordered: usize,
    behind_event_us: Vec<i64>,
    behind_call_us: Vec<i64>,
}

impl Figures {
    /// The head of the table.
    pub fn head() -> &'static str {
        "| door | listeners | got all | deliveries | lost | twice | out of order | behind the event p50 / p99 / most \
         | behind the call p50 / p99 / most |\n|---|---|---|---|---|---|---|---|---|"
    }

    /// Compares what everybody of a crowd heard with the log.
    pub fn of(log: &[Logged], calls: &[Call], crowd: &[Arc<Heard>]) -> Self {
        let places: HashMap<Uuid, usize> = log.iter().enumerate().map(|(at, event)| (event.event_id, at)).collect();
        let mut figures = Self { listeners: crowd.len(), ..Self::default() };
        for heard in crowd {
            figures.add(log, calls, &places, &heard.0.lock());
        }
        figures.behind_event_us.sort_unstable();
        figures.behind_call_us.sort_unstable();
        figures
    }

    /// One listener. What it heard that is not in this stretch of the log came before or after it.
    fn add(&mut self, log: &[Logged], calls: &[Call], places: &HashMap<Uuid, usize>, heard: &[(Uuid, i64)]) {
        let mut seen = vec![false; log.len()];
        let mut next = 0;
        for (id, at_us) in heard {
            let Some(&place) = places.get(id) else { continue };
            self.deliveries += 1;
            self.twice += usize::from(seen[place]);
            self.disordered += usize::from(place < next);
            (seen[place], next) = (true, place + 1);
            self.behind_event_us.push(at_us - log[place].at_us);
            let call = log[place].call.and_then(|number| calls.get(number));
            self.behind_call_us.extend(call.map(|call| at_us - call.at_us));
        }
        let lost = seen.iter().filter(|seen| !**seen).count();
        self.lost += lost;
        self.complete += usize::from(lost == 0);
    }

    /// A line of the table.
    pub fn line(&self, name: &str) -> String {
        format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.listeners,
            self.complete,
            self.deliveries,
            self.lost,
            self.twice,
            self.disordered,
            spread(&self.behind_event_us),
            spread(&self.behind_call_us),
        )
    }
}

/// The middle, the 99th percentile and the most of what is sorted.
fn spread(sorted_us: &[i64]) -> String {
    let Some(most) = sorted_us.last() else { return "–".to_owned() };
    let at = |share: f64| sorted_us[((sorted_us.len() as f64 * share) as usize).min(sorted_us.len() - 1)];
    let [p50, p99, most] = [at(0.5), at(0.99), *most].map(|us| us as f64 / 1_000.0);
    format!("{p50:.0} / {p99:.0} / {most:.0} ms")
}

/// How long the calls themselves took.
pub fn told_of_calls(calls: &[Call]) {
    let mut took: Vec<i64> = calls.iter().map(|call| call.took.as_micros() as i64).collect();
    took.sort_unstable();
    if !took.is_empty() {
        let refused = calls.iter().filter(|call| !call.good).count();
        println!("{} calls, {refused} refused, answered in p50 / p99 / most: {}", took.len(), spread(&took));
    }
}
