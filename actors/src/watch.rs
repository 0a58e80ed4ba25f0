//! The watch over the monitor itself: beats of the vigil, surveys when the fleet is silent or somebody asks for one,
//! and the events that tell of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream::FuturesUnordered};
use ractor::ActorRef;
use serde_json::json;
use tokio::{sync::oneshot, time};

use crate::{
    board::Board,
    doubt::{BEAT, Doubt, FIRST_WAVE, Shift, Survey, Verdict},
    event::{EventDraft, EventType},
    health::{CheckReport, State},
    meters::Meters,
    ports::Clock,
    recorder::Recorder,
    registry::RegistryMessage,
    roll::ClusterId,
    tempo::Tempo,
};

/// Addresses that are reached whenever the monitor's own network works.
#[async_trait]
pub trait Canaries: Send + Sync + 'static {
    /// Does any of them answer? Returns within a few seconds.
    async fn any_answers(&self) -> bool;
}

/// What the watch works with.
pub(crate) struct Watch {
    pub(crate) doubt: Arc<Doubt>,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: Recorder,
    pub(crate) meters: Arc<Meters>,
    pub(crate) registry: ActorRef<RegistryMessage>,
    pub(crate) canaries: Option<Arc<dyn Canaries>>,
    pub(crate) tempo: Arc<Tempo>,
}

/// A cluster of a survey's sample.
struct Drawn {
    id: ClusterId,
    patience: Duration,
    /// Is it failing already, but not confirmed to be down? Under a hold nothing is confirmed: then nobody is suspect.
    suspect: bool,
}

/// How often the beat of the fleet is chosen anew.
const CHOOSE_EVERY: Duration = Duration::from_secs(10);

/// Beats for ever. A stop that is long enough to matter is logged.
pub(crate) async fn beat(doubt: Arc<Doubt>, clock: Arc<dyn Clock>, meters: Arc<Meters>, tempo: Arc<Tempo>) {
    let first = time::Instant::from_std(clock.now() + tempo.until_next(clock.now(), BEAT));
    let mut beats = time::interval_at(first, BEAT);
    let mut chosen = clock.now();
    beats.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let since = clock.now().saturating_duration_since(chosen);
        if since >= CHOOSE_EVERY {
            chosen = clock.now();
            tempo.choose(since);
        }
        if let Some(away) = doubt.vigil.beat(clock.now()) {
            meters.lost.increment(away.as_secs_f64());
            if away.as_secs() >= 1 {
                tracing::warn!(away_ms = away.as_millis() as u64, "the process was stopped or starved");
            }
        }
    }
}

/// How often the watch looks whether the fleet is silent.
const LOOK: Duration = Duration::from_millis(250);
/// How long the first wave of a survey may take before everybody of the sample is asked.
const FIRST_WAVE_PATIENCE: Duration = Duration::from_millis(300);
/// Silences that turn out to be harmless (a small fleet of slow clusters has many) are looked into less and less often,
/// down to this.
const LONGEST_EAR: Duration = Duration::from_secs(4);

impl Watch {
    /// Surveys for ever: when asked to, when the fleet is silent, and again and again while states are held.
    pub(crate) async fn run(self) {
        let spacing = self.doubt.rules().spacing;
        let (mut ear, mut deaf_until) = (spacing, self.clock.now());
        loop {
            let silent = self.rest(deaf_until).await;
            let started = self.clock.now();
            let verdict = self.survey().await;
            self.meters.surveys.increment(1);
            self.conclude(started, verdict);
            if silent {
                ear = if verdict == Verdict::Carries { (2 * ear).min(LONGEST_EAR) } else { spacing };
                deaf_until = self.clock.now() + ear;
            }
            let pauses = if self.doubt.is_holding() { 5 } else { 1 };
            time::sleep(pauses * spacing).await;
        }
    }

    /// Waits until a survey is needed. True when that is because the fleet is silent.
    async fn rest(&self, deaf_until: Instant) -> bool {
        loop {
            let now = self.clock.now();
            if self.doubt.is_holding() {
                return false;
            }
            if now >= deaf_until && self.doubt.evidence.is_silent(now) {
                return true;
            }
            let pause = self.tempo.until_next(now, LOOK);
            if time::timeout(pause, self.doubt.survey_wanted()).await.is_ok() {
                return false;
            }
        }
    }

    async fn survey(&self) -> Verdict {
        let rules = *self.doubt.rules();
        if let Some(canaries) = &self.canaries
            && canaries.any_answers().await
        {
            return Verdict::Carries;
        }
        let mut sample = self.sample();
        let mut survey = Survey::of(sample.len());
        let rest = sample.split_off(sample.len().min(FIRST_WAVE));
        let mut answers = FuturesUnordered::new();
        for (wave, patience) in [(sample, FIRST_WAVE_PATIENCE), (rest, 2 * rules.patience)] {
            survey.ask(wave.len());
            answers.extend(wave.into_iter().map(|drawn| self.ask(drawn)));
            let end = time::Instant::now() + patience;
            while self.is_worth_waiting(survey.verdict(rules.hold_ratio, rules.hold_min_clusters, false)) {
                let Ok(Some(report)) = time::timeout_at(end, answers.next()).await else { break };
                survey.answer(report.as_ref());
            }
        }
        let verdict = survey.verdict(rules.hold_ratio, rules.hold_min_clusters, answers.is_empty());
        tracing::debug!(?survey, ?verdict, "surveyed");
        verdict
    }

    /// Can further answers change what this verdict leads to? Under a hold it matters whether anybody answers at all.
    fn is_worth_waiting(&self, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Open => true,
            Verdict::Carries | Verdict::Fails { anybody: true } => false,
            Verdict::Fails { anybody: false } => self.doubt.is_holding(),
        }
    }

    /// Clusters that were not known to be down, chosen at random.
    fn sample(&self) -> Vec<Drawn> {
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        let mut drawn: Vec<(u64, Drawn)> = Vec::with_capacity(self.board.len());
        self.board.each(|entry| {
            let status = &entry.status;
            if status.state != State::Offline {
                let unseen = status.state == State::Unknown && status.last_check_at.is_some();
                let suspect = (status.memory.worse > 0 || unseen) && self.doubt.stands(entry.checked);
                let id = entry.cluster.id;
                let patience = self.patience(status.latency_ms);
                drawn.push((id.spread().wrapping_mul(salt | 1) ^ salt, Drawn { id, patience, suspect }));
            }
        });
        let size = self.doubt.rules().sample.min(drawn.len());
        if size < drawn.len() {
            drawn.select_nth_unstable_by_key(size, |(lot, _)| *lot);
        }
        drawn.into_iter().take(size).map(|(_, drawn)| drawn).collect()
    }

    /// A cluster that is slow at the best of times gets more time, twice as much at most.
    fn patience(&self, latency_ms: Option<u32>) -> Duration {
        let patience = self.doubt.rules().patience;
        let usual = Duration::from_millis(u64::from(latency_ms.unwrap_or_default()));
        patience.max(usual + usual / 2).min(2 * patience)
    }

    /// Asks a cluster of the sample. One that is failing already is not asked, so that a survey never takes the place
    /// of the recheck that has to confirm it.
    async fn ask(&self, drawn: Drawn) -> Option<CheckReport> {
        if drawn.suspect {
            return None;
        }
        let (reply, answer) = oneshot::channel();
        let _ = self.registry.cast(RegistryMessage::Asked(drawn.id, reply));
        time::timeout(drawn.patience, answer).await.ok()?.ok()
    }

    fn conclude(&self, started: Instant, verdict: Verdict) {
        let (event_type, holding) = match self.doubt.conclude(self.clock.now(), started, verdict) {
            Shift::None => return,
            Shift::Held => (EventType::MonitorDegraded, 1.0),
            Shift::Released => (EventType::MonitorRecovered, 0.0),
        };
        self.meters.holding.set(holding);
        tracing::warn!(event = event_type.as_str(), "the monitor's view of its own network changed");
        let reason = "most of a random sample of the fleet is not reached";
        let payload = json!({ "reason": reason, "suspects": self.doubt.evidence.suspects() });
        self.recorder.announce(EventDraft::new(event_type, ClusterId::FLEET, self.clock.wall(), payload));
    }
}
