//! What the demo tells: who is on stage, every change as it happens, figures now and then, and how it compares in the end.

use std::time::Duration;

use chrono::{Local, TimeDelta};
use fleetbeat_actors::event::EventType;
use fleetbeat_actors::health::State;
use fleetbeat_actors::ports::Clock;
use fleetbeat_loadtest::spokes::{Playback, Role};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::DemoArguments;
use super::gauges::Reading;
use super::stage::{PACE, Stage, certain_after_ms};
use super::tally::{Told, compare};
use crate::cli::error::CliError;
use crate::cli::follow::{Follower, News};
use crate::cli::line::Event;
use crate::cli::paint::Paint;
use crate::cli::{fleet, look, output};
use crate::clock::SystemClock;

const FIGURES_EVERY: Duration = Duration::from_secs(10);
/// How long the first look at every cluster may take before the show begins anyway.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// The show. Can be ended at any moment; the closing words are about what was seen until then.
pub struct Show<'a> {
    stage: &'a Stage,
    paint: Paint,
    begun: Instant,
    told: Mutex<Vec<Told>>,
    checks: Mutex<f64>,
}

impl<'a> Show<'a> {
    /// A show on a stage that is set up.
    pub fn new(stage: &'a Stage, paint: Paint) -> Self {
        Self { stage, paint, begun: Instant::now(), told: Mutex::new(Vec::new()), checks: Mutex::new(0.0) }
    }

    /// Registers the fleet, plays the script and tells what happens, until the script is over.
    ///
    /// # Errors
    /// When the monitor does not answer any more, or nobody reads the output.
    pub async fn run(&self, arguments: &DemoArguments) -> Result<(), CliError> {
        self.introduce(arguments)?;
        self.stage.register().await?;
        self.wait_for_first_look().await?;
        let mut follower = Follower::open(&self.stage.client, &[], None).await?;
        let script = self.stage.script(arguments.seed, arguments.duration());
        let playback = self.stage.fleet.play(script).map_err(CliError::failed("the script cannot be played"))?;
        self.follow(&mut follower, playback).await
    }

    async fn follow(&self, follower: &mut Follower<'_>, playback: Playback) -> Result<(), CliError> {
        let mut figures = interval_at(Instant::now() + FIGURES_EVERY, FIGURES_EVERY);
        figures.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut before = (Instant::now(), self.reading().await?);
        let over = playback.wait();
        tokio::pin!(over);
        loop {
            tokio::select! {
                news = follower.next() => self.tell(news?)?,
                _ = figures.tick() => {
                    let now = (Instant::now(), self.reading().await?);
                    self.figures(&before, &now).await?;
                    before = now;
                }
                _ = &mut over => return Ok(()),
            }
        }
    }

    fn introduce(&self, arguments: &DemoArguments) -> Result<(), CliError> {
        let (paint, spokes) = (self.paint, self.stage.fleet.spokes());
        let base = self.stage.client.base();
        let count = |role: Role| spokes.iter().filter(|spoke| spoke.endpoint(role).is_some()).count();
        let kinds = PACE.map(|(kind, ..)| (kind, spokes.iter().filter(|spoke| spoke.cluster_type == kind).count()));
        let kinds = kinds.map(|(kind, count)| format!("{count} {kind}")).join(", ");
        let link = |path: &str| paint.link(&format!("{base}{path}"));
        let row = |name: &str, what: &str| format!("  {}{what}\n", paint.strong(&format!("{name:15}")));
        let mut text = format!(
            "\n{} watches {} simulated clusters ({kinds}),\nwith {} Prometheus, {} Tempo and {} Loki endpoints, all over TLS.\n\n",
            paint.strong("fleetbeat"),
            spokes.len(),
            count(Role::Prometheus),
            count(Role::Tempo),
            count(Role::Loki),
        );
        text += &row("Dashboard", &link("/"));
        text += &row("API", &link("/api/v1/clusters"));
        text += &row("Documentation", &link("/docs"));
        text += &row("Metrics", &link("/metrics"));
        text += &row("Live stream", &paint.link(&format!("curl -N {base}/api/v1/events/stream")));
        let server = if base.ends_with(":8080") { String::new() } else { format!(" --server {base}") };
        text +=
            &row("In a terminal", &paint.link(&format!("fleetbeat clusters list{server} --state offline,degraded")));
        text += &self.legend(arguments);
        output::line(&text)
    }

    fn legend(&self, arguments: &DemoArguments) -> String {
        let paint = self.paint;
        let meaning =
            |state: State, what: &str| format!("  {} {what}\n", paint.state(state, &format!("● {:9}", state.as_str())));
        let periods = PACE.map(|(kind, _, period, _)| format!("{kind} {} s", period / 1_000)).join(", ");
        [
            "\n".to_owned(),
            meaning(State::Online, "everything answers: score 100"),
            meaning(State::Degraded, "the API server answers; Prometheus (-20), Tempo (-15) or Loki (-15) does not"),
            meaning(State::Offline, "the API server does not answer (-50)"),
            paint.faint(&format!(
                "\n  So that you see it move, checks are more frequent here than by default: {periods}.\n  Seed {}: the same \
                 troubles every time. Ctrl-C ends everything.\n",
                arguments.seed
            )),
        ]
        .concat()
    }

    async fn wait_for_first_look(&self) -> Result<(), CliError> {
        let begun = Instant::now();
        let look = async {
            loop {
                let summary = self.stage.client.get("/api/v1/fleet/summary").await?.json;
                let unknown = summary.pointer("/by_state/UNKNOWN").and_then(Value::as_u64);
                if unknown == Some(0) {
                    return Ok::<_, CliError>(summary);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let Ok(summary) = timeout(FIRST_LOOK, look).await else {
            return output::line(&self.paint.warn("not every cluster has been looked at yet; on with the show"));
        };
        let summary = summary?;
        let states = fleet::states(summary.get("by_state").unwrap_or(&Value::Null), self.paint);
        let elapsed = begun.elapsed().as_secs_f64();
        output::line(&format!("{}  all registered and looked at within {elapsed:.1} s: {states}\n", self.time()))
    }

    fn tell(&self, news: News) -> Result<(), CliError> {
        match news {
            News::Event(event) => {
                self.remember(&event);
                let registered = event.event_type == Some(EventType::ClusterRegistered);
                let first_good_news = event.change() == Some((State::Unknown, State::Online));
                if registered || first_good_news { Ok(()) } else { output::line(&event.line(self.paint)) }
            }
            News::Lost(why) => output::line(&self.paint.warn(&format!("the live stream was lost: {why}"))),
            News::Back => output::line(&self.paint.good("the live stream is back")),
        }
    }

    fn remember(&self, event: &Event) {
        if let (Some((old, new)), Some(at)) = (event.change(), event.timestamp)
            && old != State::Unknown
        {
            self.told.lock().push(Told { spoke: event.name(), old, new, at });
        }
    }

    async fn reading(&self) -> Result<Reading, CliError> {
        let reading = Reading::of(&self.stage.client.text("/metrics").await?);
        *self.checks.lock() = reading.checks;
        Ok(reading)
    }

    async fn figures(&self, before: &(Instant, Reading), now: &(Instant, Reading)) -> Result<(), CliError> {
        let summary = self.stage.client.get("/api/v1/fleet/summary").await?.json;
        let states = fleet::states(summary.get("by_state").unwrap_or(&Value::Null), self.paint);
        let seconds = (now.0 - before.0).as_secs_f64().max(0.001);
        let rate = (now.1.checks - before.1.checks) / seconds;
        let lag = now.1.lag_p99_since(&before.1);
        let score = look::text(&summary, "/avg_health_score");
        let rest = self.paint.faint(&format!("mean score {score} · {rate:.0} checks/s · 99 % start within {lag}"));
        output::line(&format!("{}  ── {states}  {rest}", self.time()))
    }

    /// Says what was made, what was announced, and how they compare.
    ///
    /// # Errors
    /// When nobody reads it.
    pub fn closing(&self) -> Result<(), CliError> {
        let now = SystemClock.wall();
        let certain_until = now - TimeDelta::milliseconds(certain_after_ms() as i64);
        let tally = compare(&self.stage.fleet.truth(), &self.told.lock(), certain_until);
        let paint = self.paint;
        let all_well = tally.announced == tally.due && tally.invented == 0;
        let verdict = format!("announced {} of {}", tally.announced, tally.due);
        let verdict = if all_well { paint.good(&verdict) } else { paint.bad(&verdict) };
        let mut text = format!("\n{} changes of state that happened, {} that did not", verdict, tally.invented);
        if tally.fresh > 0 {
            text += &paint.faint(&format!(" (and {} too recent to have been noticed)", tally.fresh));
        }
        if let (Some(median), Some(slowest)) = (tally.delay(0.5), tally.delay(1.0)) {
            let seconds = |delay: TimeDelta| delay.num_milliseconds() as f64 / 1_000.0;
            text += &format!("\nhalf of them within {:.1} s, all within {:.1} s", seconds(median), seconds(slowest));
        }
        let checks = *self.checks.lock();
        text += &format!("\n{checks:.0} checks in {}\n", look::span(self.begun.elapsed().as_secs() as i64));
        output::line(&text)
    }

    fn time(&self) -> String {
        let now = SystemClock.wall().with_timezone(&Local);
        self.paint.faint(&now.format("%H:%M:%S%.3f").to_string())
    }
}
