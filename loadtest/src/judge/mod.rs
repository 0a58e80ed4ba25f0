//! The judge: the spokes' truth against what a monitor said, in figures. Pure; every time in it is an argument.

pub mod chain;
pub mod course;
pub mod delivery;
pub mod heard;
pub mod numbers;
pub mod record;
#[cfg(test)]
pub mod sample;
pub mod writes;

use std::collections::{BTreeMap, HashMap};

use crate::clock::{WallMs, wall_text};
use crate::scenario::Expect;
use crate::spokes::Truth;

pub use course::Cadence;
pub use numbers::percentile;
pub use record::{Change, Misshapen, Received, Record, Shown};
pub use writes::{Kept, Write};

/// Findings told in words, at most.
const TOLD: usize = 40;

/// Everything that was seen.
#[derive(Debug, Default)]
pub struct Evidence {
    /// What the log must say.
    pub expect: Expect,
    /// Every cluster of the fleet with its cadence, by name.
    pub cadences: HashMap<String, Cadence>,
    /// The truth of all spokes, in any order.
    pub truth: Vec<Truth>,
    /// First and last moment of the run.
    pub span: (WallMs, WallMs),
    /// When the play began.
    pub play_from: WallMs,
    /// Stretches of time in which the monitor ran.
    pub up: Vec<(WallMs, WallMs)>,
    /// The whole event log, in order.
    pub log: Vec<Record>,
    /// Does the log begin with the first event there ever was?
    pub log_is_whole: bool,
    /// States in the API at the end, by name.
    pub final_states: HashMap<String, Shown>,
    /// Clusters in the API at the end, by id.
    pub kept: HashMap<String, Kept>,
    /// What callers wrote, and how they were answered.
    pub writes: Vec<Write>,
    /// Arrivals on the live stream.
    pub live: Vec<Received>,
    /// Arrivals from the Redis stream, where there is one.
    pub stream: Option<Vec<Received>>,
    /// Arrivals on the clusters' own channels, where there are any.
    pub channel: Option<Vec<Received>>,
    /// When the reader of the channels was subscribed.
    pub subscribed: Vec<(WallMs, WallMs)>,
    /// Events that were not as promised.
    pub misshapen: Vec<String>,
    /// When the monitor was first started again, if it was.
    pub restarted: Option<WallMs>,
}

/// What the judge found.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Figures by name.
    pub figures: BTreeMap<String, f64>,
    /// What was wrong, in words; the first of them.
    pub findings: Vec<String>,
    /// Seconds from the truth to the event's own time, for the plot.
    pub detections: Vec<f64>,
    /// When the truth changed clearly, and when the log said so, for the plot.
    pub told: (Vec<WallMs>, Vec<WallMs>),
}

impl Verdict {
    fn put(&mut self, name: &str, value: impl Into<f64>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    fn count(&mut self, name: &str, value: u64) {
        self.put(name, value as f64);
    }

    fn find(&mut self, finding: impl FnOnce() -> String) {
        if self.findings.len() < TOLD {
            self.findings.push(finding());
        }
    }

    fn percentiles(&mut self, name: &str, mut values: Vec<f64>) {
        for (share, suffix) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
            if let Some(value) = percentile(&mut values, share) {
                self.put(&format!("{name}_{suffix}_seconds"), value);
            }
        }
    }
}

/// Judges.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut verdict = Verdict::default();
    let log_chain = chain::inspect(&evidence.log, evidence.log_is_whole);
    verdict.count("log_events", evidence.log.len() as u64);
    verdict.count("sequence_gaps", log_chain.gaps);
    verdict.count("broken_links", log_chain.broken_links);
    verdict.count("repeated_ids", log_chain.repeated_ids);
    verdict.count("position_disorder", log_chain.position_disorder);
    verdict.count("misshapen", evidence.misshapen.len() as u64);
    evidence.misshapen.iter().chain(&log_chain.told).for_each(|one| verdict.find(|| one.clone()));
    judge_courses(evidence, &mut verdict);
    judge_deliveries(evidence, &mut verdict);
    judge_writes(evidence, &mut verdict);
    judge_doubt(evidence, &mut verdict);
    verdict
}

fn judge_courses(evidence: &Evidence, verdict: &mut Verdict) {
    let mut truths: HashMap<&str, Vec<&Truth>> = HashMap::new();
    for entry in &evidence.truth {
        truths.entry(&entry.spoke).or_default().push(entry);
    }
    let mut told: HashMap<&str, Vec<&Record>> = HashMap::new();
    for record in &evidence.log {
        if let Some(change) = &record.change {
            told.entry(&change.cluster).or_default().push(record);
        }
    }
    let live: HashMap<&str, WallMs> = first_arrivals(&evidence.live);
    let stream: HashMap<&str, WallMs> = evidence.stream.as_deref().map(first_arrivals).unwrap_or_default();
    let mut sums = Sums::default();
    for (name, cadence) in &evidence.cadences {
        let mut entries = truths.remove(name.as_str()).unwrap_or_default();
        entries.sort_by_key(|entry| entry.seq);
        let records = told.remove(name.as_str()).unwrap_or_default();
        let one = Course { name, cadence: *cadence, entries: &entries, records: &records };
        one.judge(evidence, &mut sums, verdict, &live, &stream);
    }
    sums.put(verdict);
}

/// One cluster's part of the evidence.
struct Course<'a> {
    name: &'a str,
    cadence: Cadence,
    entries: &'a [&'a Truth],
    records: &'a [&'a Record],
}

#[derive(Default)]
struct Sums {
    due: u64,
    lost: u64,
    untrue: u64,
    disordered: u64,
    false_offline: u64,
    changes: u64,
    wrong_at_end: u64,
    to_event: Vec<f64>,
    to_live: Vec<f64>,
    to_redis: Vec<f64>,
}

impl Course<'_> {
    fn judge(
        &self,
        evidence: &Evidence,
        sums: &mut Sums,
        verdict: &mut Verdict,
        live: &HashMap<&str, WallMs>,
        stream: &HashMap<&str, WallMs>,
    ) {
        let steps: Vec<course::Step> = self.records.iter().filter_map(|record| step(record)).collect();
        let first = self.records.iter().filter(|r| r.change.as_ref().is_some_and(|c| c.old == Shown::Unknown)).count();
        sums.changes += (steps.len() - first.min(steps.len())) as u64;
        let entries = if evidence.expect == Expect::Truth { self.entries } else { &[] };
        let segments = course::segments(entries, evidence.span.0, evidence.span.1);
        let found = course::judge(&segments, &steps, &evidence.up, self.cadence);
        verdict.told.0.extend(segments.iter().skip(1).filter(|segment| segment.clear).map(|segment| segment.from));
        verdict.told.1.extend(steps.iter().skip(1).map(|step| step.at));
        sums.due += found.due;
        sums.lost += found.lost.len() as u64;
        sums.untrue += found.untrue.len() as u64;
        sums.disordered += u64::from(found.disordered);
        sums.false_offline += found.untrue.iter().filter(|step| step.new == Shown::Offline).count() as u64;
        for (index, delay) in &found.detections {
            let Some(record) = self.records.get(*index) else { continue };
            let late = |at: WallMs| (at - record.at + delay) as f64 / 1_000.0;
            verdict.detections.push(late(record.at));
            sums.to_event.push(late(record.at));
            sums.to_live.extend(live.get(record.event_id.as_str()).map(|at| late(*at)));
            sums.to_redis.extend(stream.get(record.event_id.as_str()).map(|at| late(*at)));
        }
        self.tell(&found, verdict);
        self.judge_end(evidence, &segments, sums, verdict);
    }

    fn tell(&self, found: &course::Judgement, verdict: &mut Verdict) {
        for segment in &found.lost {
            let (name, state, at) = (self.name, segment.state, wall_text(segment.from));
            verdict.find(|| format!("{name}: {state:?} from {at} was never told"));
        }
        for step in &found.untrue {
            let (name, state, at, why) = (self.name, step.new, wall_text(step.at), self.why(step));
            verdict.find(|| format!("{name}: {state:?} told at {at} was not so ({why})"));
        }
        if found.disordered {
            verdict.find(|| format!("{}: told in another order or number than it was", self.name));
        }
    }

    fn why(&self, step: &course::Step) -> &str {
        let changes =
            self.records.iter().filter(|record| record.at == step.at).filter_map(|record| record.change.as_ref());
        changes.filter(|change| change.new == step.new).map(|change| change.why.as_str()).next().unwrap_or_default()
    }

    fn judge_end(&self, evidence: &Evidence, segments: &[course::Segment], sums: &mut Sums, verdict: &mut Verdict) {
        let Some(last) = segments.last() else { return };
        let seen = evidence.up.last().map_or(0, |(from, to)| last.to.min(*to) - last.from.max(*from));
        if !last.clear || seen < self.cadence.sure() {
            return;
        }
        let shown = evidence.final_states.get(self.name).copied();
        if shown != Some(Shown::from(last.state)) {
            sums.wrong_at_end += 1;
            let (name, state) = (self.name, last.state);
            verdict.find(|| format!("{name}: shown as {shown:?} at the end, was {state:?}"));
        }
    }
}

fn step(record: &Record) -> Option<course::Step> {
    record.change.as_ref().map(|change| course::Step { at: record.at, new: change.new })
}

impl Sums {
    fn put(self, verdict: &mut Verdict) {
        verdict.count("transitions_due", self.due);
        verdict.count("state_changes", self.changes);
        verdict.count("lost", self.lost);
        verdict.count("false_transitions", self.untrue);
        verdict.count("false_offline", self.false_offline);
        verdict.count("disordered_clusters", self.disordered);
        verdict.count("final_state_mismatches", self.wrong_at_end);
        verdict.percentiles("detection_event", self.to_event);
        verdict.percentiles("detection_live", self.to_live);
        verdict.percentiles("detection_redis", self.to_redis);
    }
}

fn first_arrivals(received: &[Received]) -> HashMap<&str, WallMs> {
    received.iter().rev().map(|one| (one.record.event_id.as_str(), one.arrived)).collect()
}

fn judge_deliveries(evidence: &Evidence, verdict: &mut Verdict) {
    let first_live = evidence.live.first().map_or(i64::MAX, |one| one.record.position);
    let live = delivery::compare(&evidence.log, &evidence.live, |record| record.position >= first_live);
    put_delivery(verdict, "live", &live);
    if let Some(stream) = &evidence.stream {
        put_delivery(verdict, "stream", &delivery::compare(&evidence.log, stream, |_| true));
    }
    if let Some(channel) = &evidence.channel {
        let taken: HashMap<&str, WallMs> = evidence
            .stream
            .iter()
            .flatten()
            .filter_map(|one| one.taken.map(|at| (one.record.event_id.as_str(), at)))
            .collect();
        let listening = |at: &WallMs| evidence.subscribed.iter().any(|(from, to)| (*from + 50..*to - 50).contains(at));
        // A channel keeps nothing: what was sent while nobody listened is not due.
        let due =
            |record: &Record| record.cluster_id != NIL && taken.get(record.event_id.as_str()).is_some_and(&listening);
        put_delivery(verdict, "channel", &delivery::compare(&evidence.log, channel, due));
    }
}

fn judge_writes(evidence: &Evidence, verdict: &mut Verdict) {
    let account = writes::inspect(&evidence.writes, &evidence.log, evidence.stream.as_deref(), &evidence.kept);
    verdict.count("writes_acknowledged", account.acknowledged);
    verdict.count("writes_lost", account.lost);
    if evidence.stream.is_some() {
        verdict.count("writes_lost_on_stream", account.lost_on_stream);
    }
    verdict.count("writes_repeated", account.repeated);
    verdict.count("writes_not_kept", account.not_kept);
    verdict.count("writes_in_doubt", account.in_doubt);
    verdict.count("writes_in_doubt_told", account.in_doubt_told);
    account.told.iter().for_each(|one| verdict.find(|| one.clone()));
}

/// The cluster id of events about the whole fleet.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

fn put_delivery(verdict: &mut Verdict, name: &str, delivery: &delivery::Delivery) {
    verdict.count(&format!("{name}_received"), delivery.received);
    verdict.count(&format!("{name}_lost"), delivery.lost);
    verdict.count(&format!("{name}_not_in_log"), delivery.unknown);
    verdict.count(&format!("{name}_altered"), delivery.altered);
    verdict.count(&format!("{name}_order_violations"), delivery.order_violations);
    verdict.count(&format!("{name}_duplicates"), delivery.duplicates);
}

/// What the monitor said about itself, and what its restarts caused.
fn judge_doubt(evidence: &Evidence, verdict: &mut Verdict) {
    let doubts = || evidence.log.iter().filter(|record| record.event_type == "MONITOR_DEGRADED");
    verdict.count("monitor_degraded_events", doubts().count() as u64);
    let trouble = evidence.truth.iter().map(|entry| entry.at.timestamp_millis()).filter(|at| *at >= evidence.play_from);
    let first = doubts().map(|record| record.at).find(|at| *at >= evidence.play_from);
    if let (Some(first), Some(trouble)) = (first, trouble.min()) {
        verdict.put("monitor_degraded_after_seconds", (first - trouble) as f64 / 1_000.0);
    }
    let gaps = evidence.log.iter().filter(|record| record.event_type == "OBSERVATION_GAP").count();
    verdict.count("observation_gap_events", gaps as u64);
    if let Some(restarted) = evidence.restarted {
        let after = evidence.log.iter().filter(|record| record.at >= restarted).count();
        verdict.count("events_after_restart", after as u64);
    }
}

#[cfg(test)]
mod tests {
    use crate::spokes::State;

    use super::sample::{changed, received, truth};
    use super::*;

    fn evidence() -> Evidence {
        let cadence = Cadence { period: 10_000, deadline: 2_000, recheck: 1_000, margin: 1_000 };
        let log = vec![
            changed("a", 1, 1_000, Shown::Unknown, Shown::Online),
            changed("a", 2, 52_000, Shown::Online, Shown::Offline),
        ];
        Evidence {
            cadences: HashMap::from([("a".to_owned(), cadence)]),
            truth: vec![truth("a", 50_000, State::Online, State::Offline)],
            span: (0, 100_000),
            up: vec![(0, 100_000)],
            live: received(&log),
            stream: Some(received(&log)),
            log,
            log_is_whole: true,
            final_states: HashMap::from([("a".to_owned(), Shown::Offline)]),
            ..Evidence::default()
        }
    }

    #[test]
    fn a_true_and_complete_account_has_no_findings() {
        let verdict = judge(&evidence());
        assert_eq!(verdict.findings, Vec::<String>::new());
        for figure in ["lost", "false_transitions", "sequence_gaps", "stream_lost", "final_state_mismatches"] {
            assert_eq!(verdict.figures[figure], 0.0, "{figure}");
        }
        assert_eq!(verdict.figures["detection_event_p50_seconds"], 2.0);
        assert_eq!(verdict.figures["detection_live_max_seconds"], 2.005);
    }

    #[test]
    fn a_wrong_state_at_the_end_is_found() {
        let mut evidence = evidence();
        evidence.final_states.clear();
        assert_eq!(judge(&evidence).figures["final_state_mismatches"], 1.0);
    }

    #[test]
    fn when_nothing_may_change_every_change_is_false() {
        let verdict = judge(&Evidence { expect: Expect::NoChange, ..evidence() });
        assert_eq!((verdict.figures["false_transitions"], verdict.figures["false_offline"]), (1.0, 1.0));
        assert_eq!(verdict.figures["state_changes"], 1.0);
    }

    #[test]
    fn what_a_restart_caused_is_counted() {
        let verdict = judge(&Evidence { restarted: Some(51_000), ..evidence() });
        assert_eq!(verdict.figures["events_after_restart"], 1.0);
    }
}
