//! Figures of cost and pace from readings, looks at the process and calls. Pure.

use std::collections::BTreeMap;

use super::callers::Call;
use super::outages::{Diary, Done};
use crate::clock::WallMs;
use crate::follow::Usage;
use crate::judge::percentile;
use crate::scenario::Part;
use crate::scrape::{Buckets, Reading};

/// Figures by name.
pub type Figures = BTreeMap<String, f64>;

/// What was measured while a play ran.
pub struct Measured<'a> {
    /// Readings at the beginning and at the end of the time before the play in which nothing happens.
    pub still: &'a [Reading],
    /// First and last moment of the play.
    pub play: (WallMs, WallMs),
    /// Readings of `/metrics`, in order.
    pub readings: &'a [Reading],
    /// Looks at the process, in order.
    pub usages: &'a [Usage],
    /// How many clusters there are.
    pub clusters: usize,
    /// Checks per second that the periods make.
    pub nominal_rate: f64,
    /// Period by the word of a cluster type, in seconds.
    pub periods: BTreeMap<String, f64>,
}

/// Checks between readings: how many, over how many seconds, in how much CPU time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    checks: f64,
    seconds: f64,
    cpu_seconds: f64,
}

impl Measured<'_> {
    /// Everything that can be told from this.
    pub fn figures(&self, diary: &Diary) -> Figures {
        let mut figures = Figures::new();
        let work = self.work(self.play);
        let mut put = |name: &str, value: Option<f64>| {
            if let Some(value) = value.filter(|value| value.is_finite()) {
                figures.insert(name.to_owned(), value);
            }
        };
        put("checks", Some(work.checks));
        put("checks_not_run", Some(self.not_run()));
        put("checks_per_second", Some(work.checks / work.seconds));
        put("check_rate_share", Some(work.checks / work.seconds / self.nominal_rate));
        if !self.usages.is_empty() {
            put("cpu_ms_per_1000_checks", Some(work.cpu_seconds * 1e6 / work.checks));
            put("cpu_percent", Some(100.0 * work.cpu_seconds / work.seconds));
        }
        let inside = |at: WallMs| at >= self.play.0;
        let rss = || self.usages.iter().filter(|usage| inside(usage.at)).map(|usage| usage.rss_kib as f64);
        let most = |values: &mut dyn Iterator<Item = f64>| values.reduce(f64::max);
        let first = rss().next();
        put("rss_mib", most(&mut rss()).map(|rss| rss / 1_024.0));
        put("rss_kib_per_cluster", most(&mut rss()).map(|rss| rss / self.clusters as f64));
        put("rss_growth_mib", most(&mut rss()).zip(first).map(|(most, first)| (most - first) / 1_024.0));
        put("descriptors", most(&mut self.usages.iter().map(|usage| usage.descriptors as f64)));
        put("threads", most(&mut self.usages.iter().map(|usage| usage.threads as f64)));
        let ends = self.usages.iter().find(|usage| inside(usage.at)).zip(self.usages.last());
        put("descriptors_growth", ends.map(|(first, last)| last.descriptors as f64 - first.descriptors as f64));
        put("threads_growth", ends.map(|(first, last)| last.threads as f64 - first.threads as f64));
        self.put_lag(&mut put);
        self.put_neighbours(&mut put);
        let readings = || self.readings.iter().filter(|reading| inside(reading.at));
        let plain = |name: &str| readings().filter_map(|reading| reading.plain.get(name)).copied().collect::<Vec<_>>();
        let kept = self.playing().into_iter().filter_map(|reading| reading.permits.get("kept_connections")).last();
        put("kept_connections_end", kept.copied());
        put("events_waiting_max", most(&mut plain("fleetbeat_events_waiting").into_iter()));
        put("events_unsaved_max", most(&mut plain("fleetbeat_events_unsaved").into_iter()));
        put("events_waiting_end", plain("fleetbeat_events_waiting").last().copied());
        put("events_unsaved_end", plain("fleetbeat_events_unsaved").last().copied());
        put("holding_max", most(&mut plain("fleetbeat_monitor_holding").into_iter()));
        let lost = plain("fleetbeat_monitor_lost_seconds");
        let stolen = lost.windows(2).map(|pair| (pair[1] - pair[0]).max(0.0)).sum::<f64>();
        put("monitor_lost_share", Some(stolen / work.seconds).filter(|_| !lost.is_empty()));
        let surveys = plain("fleetbeat_monitor_surveys_total");
        let done = surveys.windows(2).map(|pair| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] });
        put("surveys", Some(done.sum::<f64>()).filter(|_| !surveys.is_empty()));
        put("metrics_max_seconds", most(&mut readings().map(|reading| reading.took_seconds)));
        put("metrics_mib", most(&mut readings().map(|reading| reading.bytes as f64 / 1_048_576.0)));
        self.put_outages(diary, &mut put);
        figures
    }

    fn put_lag(&self, put: &mut impl FnMut(&str, Option<f64>)) {
        let lag = between(self.playing(), |reading| &reading.lag);
        let mut all = Buckets::default();
        let mut worst: f64 = 0.0;
        for (kind, buckets) in &lag {
            all.add(buckets);
            let p99 = buckets.percentile(0.99);
            put(&format!("lag_p99_{}_seconds", kind.to_lowercase()), p99);
            let share = p99.zip(self.periods.get(kind)).map_or(0.0, |(p99, period)| p99 / period);
            worst = worst.max(share);
        }
        put("lag_p50_seconds", all.percentile(0.5));
        put("lag_p99_seconds", all.percentile(0.99));
        put("lag_p99_share_of_period", Some(worst).filter(|_| !lag.is_empty()));
    }

    /// How much slower probes of each type became when the troubles began: of a type that has none, it should not be any.
    fn put_neighbours(&self, put: &mut impl FnMut(&str, Option<f64>)) {
        let still = between(self.still, |reading| &reading.durations);
        for (kind, buckets) in between(self.playing(), |reading| &reading.durations) {
            let p99 = buckets.percentile(0.99);
            let before = still.get(&kind).and_then(|buckets| buckets.percentile(0.99));
            let ratio = p99.zip(before).map(|(p99, before)| p99.max(FLOOR_SECONDS) / before.max(FLOOR_SECONDS));
            put(&format!("probe_p99_{}_seconds", kind.to_lowercase()), p99);
            put(&format!("probe_p99_{}_ratio", kind.to_lowercase()), ratio);
        }
    }

    fn put_outages(&self, diary: &Diary, put: &mut impl FnMut(&str, Option<f64>)) {
        let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
        put("outages", Some(diary.outages.len() as f64));
        put("ready_max_seconds", most(&diary.ready_seconds));
        put("end_max_seconds", most(&diary.end_seconds));
        put("bad_exits", Some(diary.bad_exits as f64));
    }

    /// Work within a stretch of time; a monitor started again in between begins its counters anew.
    pub fn work(&self, (from, to): (WallMs, WallMs)) -> Work {
        let readings: Vec<&Reading> =
            self.readings.iter().filter(|reading| (from..=to).contains(&reading.at)).collect();
        let mut work = Work::default();
        for pair in readings.windows(2) {
            let (before, now) = (pair[0].all_checks(), pair[1].all_checks());
            work.checks += if now >= before { now - before } else { now };
            work.seconds += (pair[1].at - pair[0].at) as f64 / 1_000.0;
        }
        let (Some(first), Some(last)) = (readings.first(), readings.last()) else { return work };
        work.cpu_seconds = self.cpu_seconds((first.at, last.at));
        work
    }

    /// Checks of the play that were due and not made.
    fn not_run(&self) -> f64 {
        let counts: Vec<f64> = self.playing().into_iter().map(Reading::checks_not_run).collect();
        counts.windows(2).map(|pair| if pair[1] >= pair[0] { pair[1] - pair[0] } else { pair[1] }).sum()
    }

    /// CPU time in a stretch of time, interpolated between the looks at its ends.
    fn cpu_seconds(&self, (from, to): (WallMs, WallMs)) -> f64 {
        let mut sum = 0.0;
        for pair in self.usages.windows(2) {
            let (one, other) = (&pair[0], &pair[1]);
            let length = (other.at - one.at) as f64;
            let inside = (other.at.min(to) - one.at.max(from)) as f64;
            if inside > 0.0 && length > 0.0 {
                let used = if one.pid == other.pid { other.cpu_seconds - one.cpu_seconds } else { other.cpu_seconds };
                sum += used * inside / length;
            }
        }
        sum
    }

    fn playing(&self) -> impl IntoIterator<Item = &Reading> {
        let (from, to) = self.play;
        self.readings.iter().filter(move |reading| (from..=to).contains(&reading.at))
    }
}

/// What a histogram saw between the first and the last of these readings, by cluster type.
fn between<'r>(
    readings: impl IntoIterator<Item = &'r Reading>,
    of: impl Fn(&Reading) -> &BTreeMap<String, Buckets>,
) -> BTreeMap<String, Buckets> {
    let readings: Vec<&Reading> = readings.into_iter().collect();
    let mut sum: BTreeMap<String, Buckets> = BTreeMap::new();
    for pair in readings.windows(2) {
        for (kind, buckets) in pair[1].since(pair[0], &of) {
            sum.entry(kind).or_default().add(&buckets);
        }
    }
    sum
}

/// Percentiles and refusals of one kind of call.
pub fn put_calls(figures: &mut Figures, name: &str, calls: &[Call], expected: impl Fn(&Call) -> bool) {
    if calls.is_empty() {
        return;
    }
    let mut seconds: Vec<f64> = calls.iter().map(|call| call.seconds).collect();
    for (share, suffix) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
        let value = percentile(&mut seconds, share).unwrap_or(f64::NAN);
        figures.insert(format!("{name}_{suffix}_seconds"), value);
    }
    figures.insert(format!("{name}_calls"), calls.len() as f64);
    figures.insert(format!("{name}_unexpected"), 0.0);
    for call in calls.iter().filter(|call| !expected(call)) {
        for figure in [format!("{name}_unexpected"), format!("{name}_unexpected_{}", call.status)] {
            *figures.entry(figure).or_default() += 1.0;
        }
    }
}

/// Calls answered well per second, from when the first was due to the last answer.
pub fn put_rate(figures: &mut Figures, name: &str, calls: &[Call]) {
    let ends = |call: &Call| call.at as f64 / 1_000.0 + call.seconds;
    let begin = calls.iter().map(|call| call.at).min();
    let Some((begin, end)) = begin.zip(calls.iter().map(ends).reduce(f64::max)) else { return };
    let well = calls.iter().filter(|call| call.is_well()).count();
    figures.insert(format!("{name}_per_second"), well as f64 / (end - begin as f64 / 1_000.0).max(0.001));
}

/// A percentile below this is as good as any: what a busy machine does to it tells nothing about an outage.
const FLOOR_SECONDS: f64 = 0.01;
/// What comes so soon after an outage belongs neither to it nor to the quiet time.
const AFTERMATH_MS: i64 = 3_000;

/// Longest time that what waited in memory may keep writes out after the database came back.
const WRITES_AGAIN_WITHIN_MS: i64 = 15_000;

/// May a writer be told 503 at this time? While the database is away, and until it has taken what waited.
pub fn may_be_refused(at: WallMs, outages: &[Done]) -> bool {
    of_the_database(outages).any(|outage| (outage.from..outage.to + WRITES_AGAIN_WITHIN_MS).contains(&at))
}

fn of_the_database(outages: &[Done]) -> impl Iterator<Item = &Done> {
    outages.iter().filter(|outage| outage.of == Part::Postgresql)
}

/// How long after each return of the database a write went well again, in seconds: the longest of them.
pub fn put_writes_again(figures: &mut Figures, writes: &[Call], outages: &[Done]) {
    let again = |outage: &Done| {
        let well = writes.iter().filter(|call| call.at >= outage.to && call.is_well());
        well.map(|call| (call.at - outage.to) as f64 / 1_000.0 + call.seconds).reduce(f64::min)
    };
    let longest = of_the_database(outages).map(|outage| again(outage).unwrap_or(f64::MAX)).reduce(f64::max);
    figures.extend(longest.map(|seconds| ("writes_again_max_seconds".to_owned(), seconds)));
}

/// How much slower calls were while something was away than otherwise in the same run.
pub fn put_outage_share(figures: &mut Figures, name: &str, calls: &[Call], outages: &[Done]) {
    let during = |call: &&Call| outages.iter().any(|outage| (outage.from..outage.to).contains(&call.at));
    let quiet = |call: &&Call| !outages.iter().any(|o| (o.from..o.to + AFTERMATH_MS).contains(&call.at));
    let mut during: Vec<f64> = calls.iter().filter(during).map(|call| call.seconds).collect();
    let mut quiet: Vec<f64> = calls.iter().filter(quiet).map(|call| call.seconds).collect();
    for (share, suffix) in [(0.5, "p50"), (0.99, "p99")] {
        let (during, quiet) = (percentile(&mut during, share), percentile(&mut quiet, share));
        let Some((during, quiet)) = during.zip(quiet) else { continue };
        figures.insert(format!("{name}_{suffix}_outage_seconds"), during);
        figures.insert(format!("{name}_{suffix}_quiet_seconds"), quiet);
        figures.insert(format!("{name}_{suffix}_outage_ratio"), during.max(FLOOR_SECONDS) / quiet.max(FLOOR_SECONDS));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(at: WallMs, checks: f64) -> Reading {
        Reading { at, checks: BTreeMap::from([("healthy".to_owned(), checks)]), ..Reading::default() }
    }

    fn usage(at: WallMs, pid: u32, cpu_seconds: f64, rss_kib: u64) -> Usage {
        Usage { at, pid, cpu_seconds, rss_kib, threads: 1, descriptors: 9 }
    }

    fn figures(readings: &[Reading], usages: &[Usage], diary: &Diary) -> Figures {
        let measured = Measured {
            still: &readings[..readings.len().min(2)],
            play: (0, 10_000),
            readings,
            usages,
            clusters: 10,
            nominal_rate: 100.0,
            periods: BTreeMap::new(),
        };
        measured.figures(diary)
    }

    #[test]
    fn cost_and_pace_come_from_differences() {
        let readings = [reading(0, 50.0), reading(10_000, 1_050.0), reading(20_000, 9_000.0)];
        let usages = [usage(0, 1, 1.0, 2_048), usage(10_000, 1, 1.5, 4_096), usage(20_000, 1, 9.0, 1_024)];
        let figures = figures(&readings, &usages, &Diary::default());
        assert_eq!(
            (figures["checks"], figures["checks_per_second"], figures["check_rate_share"]),
            (1_000.0, 100.0, 1.0)
        );
        assert_eq!((figures["cpu_ms_per_1000_checks"], figures["cpu_percent"]), (500.0, 5.0));
        assert_eq!((figures["rss_mib"], figures["rss_growth_mib"], figures["rss_kib_per_cluster"]), (4.0, 2.0, 409.6));
    }

    #[test]
    fn a_check_that_was_not_made_is_no_check() {
        let not_run = |at, made, not_run| {
            let mut reading = reading(at, made);
            reading.checks.insert("not_run".to_owned(), not_run);
            reading
        };
        let readings = [not_run(0, 50.0, 7.0), not_run(5_000, 50.0, 507.0), not_run(10_000, 550.0, 1_007.0)];
        let usages = [usage(0, 1, 1.0, 1), usage(10_000, 1, 2.0, 1)];
        let figures = figures(&readings, &usages, &Diary::default());
        assert_eq!((figures["checks"], figures["checks_not_run"], figures["check_rate_share"]), (500.0, 1_000.0, 0.5));
        assert_eq!(figures["cpu_ms_per_1000_checks"], 2_000.0);
    }

    #[test]
    fn the_pace_of_calls_is_what_was_answered_well() {
        let calls: Vec<Call> = (0..100)
            .map(|nth| Call { at: 1_000 + nth * 10, seconds: 0.01, status: if nth < 90 { 200 } else { 503 } })
            .collect();
        let mut figures = Figures::new();
        put_rate(&mut figures, "gets", &calls);
        assert!((figures["gets_per_second"] - 90.0).abs() < 1e-6, "{figures:?}");
        put_rate(&mut figures, "lists", &[]);
        assert!(!figures.contains_key("lists_per_second"));
    }

    #[test]
    fn a_monitor_started_again_counts_from_nothing() {
        let readings = [reading(0, 1_000.0), reading(5_000, 1_200.0), reading(10_000, 300.0)];
        let usages = [usage(0, 1, 8.0, 1), usage(5_000, 1, 8.5, 1), usage(10_000, 2, 0.5, 1)];
        let figures = figures(&readings, &usages, &Diary::default());
        assert_eq!(figures["checks"], 500.0);
        assert_eq!(figures["cpu_percent"], 10.0);
    }

    #[test]
    fn the_most_events_that_waited_at_once_are_told() {
        let waiting = |at, count| Reading {
            plain: BTreeMap::from([("fleetbeat_events_waiting".to_owned(), count)]),
            ..reading(at, at as f64)
        };
        let readings = [waiting(0, 0.0), waiting(3_900, 600.0), waiting(5_000, 300.0)];
        assert_eq!(figures(&readings, &[], &Diary::default())["events_waiting_max"], 600.0);
    }

    #[test]
    fn calls_during_an_outage_are_measured_by_those_of_quiet_times() {
        let outage = Done { harm: crate::scenario::Harm::Kill, of: Part::Redis, from: 1_000, to: 2_000 };
        let call = |at, seconds| Call { at, seconds, status: 200 };
        let calls = [call(500, 0.02), call(1_500, 0.06), call(2_500, 9.0), call(6_000, 0.02)];
        let mut figures = Figures::new();
        put_outage_share(&mut figures, "get", &calls, &[outage]);
        assert!((figures["get_p99_outage_ratio"] - 3.0).abs() < 1e-9, "{figures:?}");
        put_outage_share(&mut figures, "get", &[call(500, 0.001), call(1_500, 0.004)], &[outage]);
        assert_eq!(figures["get_p99_outage_ratio"], 1.0, "both are quick");
    }

    #[test]
    fn probes_are_measured_by_those_of_the_time_before() {
        let probed = |at, quick: f64, slow: f64| {
            let mut buckets = Buckets::default();
            [(0.02, quick), (0.04, quick + slow)].into_iter().for_each(|(bound, count)| buckets.put(bound, count));
            Reading { durations: BTreeMap::from([("HUB".to_owned(), buckets)]), ..reading(at, at as f64 + 10_000.0) }
        };
        let readings = [probed(-10_000, 0.0, 0.0), probed(0, 100.0, 0.0), probed(10_000, 100.0, 100.0)];
        let ratio = figures(&readings, &[], &Diary::default())["probe_p99_hub_ratio"];
        assert!((ratio - 0.0398 / 0.0198).abs() < 1e-9, "{ratio}");
    }

    #[test]
    fn calls_are_counted_by_what_was_expected() {
        let mut figures = Figures::new();
        let calls = [Call { at: 0, seconds: 0.1, status: 200 }, Call { at: 0, seconds: 0.3, status: 500 }];
        put_calls(&mut figures, "get", &calls, |call| call.status == 200);
        assert_eq!(
            (figures["get_p50_seconds"], figures["get_max_seconds"], figures["get_unexpected"]),
            (0.1, 0.3, 1.0)
        );
        assert_eq!(figures["get_unexpected_500"], 1.0);
        put_calls(&mut figures, "none", &[], |_| true);
        assert!(!figures.contains_key("none_calls"));
    }

    #[test]
    fn writes_may_be_refused_while_the_database_is_away_and_a_little_after() {
        let done = |of, from, to| Done { harm: crate::scenario::Harm::Kill, of, from, to };
        let outages = [done(Part::Redis, 0, 10_000), done(Part::Postgresql, 100_000, 110_000)];
        let refused = [5_000, 99_999, 100_000, 124_999, 125_000].map(|at| may_be_refused(at, &outages));
        assert_eq!(refused, [false, false, true, true, false]);
        let call = |at, status| Call { at, seconds: 0.5, status };
        let mut figures = Figures::new();
        put_writes_again(&mut figures, &[call(105_000, 200), call(111_000, 503), call(112_000, 200)], &outages);
        assert_eq!(figures["writes_again_max_seconds"], 2.5);
    }
}
