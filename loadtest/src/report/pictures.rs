//! Which pictures a run has.

use std::collections::BTreeMap;

use super::Series;
use super::plot::{Line, Plot};
use crate::clock::WallMs;
use crate::judge::percentile;
use crate::run::Call;
use crate::scrape::{Buckets, Reading};

/// Every picture there is something for, with its name.
pub fn draw(series: &Series) -> Vec<(&'static str, String)> {
    let pictures = [
        ("transitions", transitions(series)),
        ("detection", detection(series)),
        ("schedule-lag", lag(series)),
        ("answers", answers(series)),
        ("cpu", cpu(series)),
        ("memory", memory(series)),
        ("backlog", backlog(series)),
    ];
    pictures.into_iter().filter_map(|(name, plot)| Some((name, plot.svg()?))).collect()
}

impl Series {
    fn seconds(&self, at: WallMs) -> f64 {
        (at - self.play.0) as f64 / 1_000.0
    }

    fn over_time(&self, title: &str, y: &str, lines: Vec<Line>) -> Plot {
        let shades = self.outages.iter().map(|one| (self.seconds(one.from), self.seconds(one.to))).collect();
        Plot { title: title.to_owned(), x: "seconds of the play".to_owned(), y: y.to_owned(), lines, shades }
    }

    fn after_begin<'a, T>(&self, all: &'a [T], at: impl Fn(&T) -> WallMs) -> Vec<&'a T> {
        all.iter().filter(|one| at(one) >= self.play.0).collect()
    }
}

fn line(name: &str, points: Vec<(f64, f64)>) -> Line {
    Line { name: name.to_owned(), points, steps: false }
}

fn transitions(series: &Series) -> Plot {
    let counted = |name: &str, times: &[WallMs]| {
        let mut times: Vec<WallMs> = times.iter().copied().filter(|at| *at >= series.play.0).collect();
        times.sort_unstable();
        let mut points = vec![(0.0, 0.0)];
        points.extend(times.iter().zip(1..).map(|(at, count)| (series.seconds(*at), f64::from(count))));
        let last = points.last().map_or((0.0, 0.0), |last| *last);
        points.push((series.seconds(series.play.1).max(last.0), last.1));
        Line { name: name.to_owned(), points, steps: true }
    };
    let (truth, log) = &series.verdict.told;
    let lines = vec![counted("clear transitions of the spokes", truth), counted("changes in the event log", log)];
    if truth.is_empty() && log.is_empty() {
        return Plot::default();
    }
    series.over_time("Transitions, cumulative", "count", lines)
}

fn detection(series: &Series) -> Plot {
    let mut seconds = series.verdict.detections.clone();
    seconds.sort_by(f64::total_cmp);
    let all = seconds.len() as f64;
    let points = seconds.iter().enumerate().map(|(nth, value)| (*value, 100.0 * (nth + 1) as f64 / all)).collect();
    Plot {
        title: "Detection: from the spoke's change to its event".to_owned(),
        x: "seconds".to_owned(),
        y: "percent of transitions".to_owned(),
        lines: vec![Line { name: "detected within".to_owned(), points, steps: true }],
        shades: Vec::new(),
    }
}

fn lag(series: &Series) -> Plot {
    let readings = series.after_begin(&series.readings, |reading| reading.at);
    let point = |pair: &[&Reading], share: f64| {
        let mut all = Buckets::default();
        pair[1].since(pair[0], |reading| &reading.lag).values().for_each(|buckets| all.add(buckets));
        all.percentile(share).map(|value| (series.seconds(pair[1].at), value * 1_000.0))
    };
    let of = |share: f64| readings.windows(2).filter_map(|pair| point(pair, share)).collect();
    series.over_time("Schedule lag of checks", "milliseconds", vec![line("p50", of(0.5)), line("p99", of(0.99))])
}

fn answers(series: &Series) -> Plot {
    let of = |calls: &[Call], share: f64| -> Vec<(f64, f64)> {
        let mut seconds: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for call in calls {
            seconds.entry((call.at - series.play.0).div_euclid(1_000)).or_default().push(call.seconds * 1_000.0);
        }
        let point = |(second, mut took): (i64, Vec<f64>)| Some((second as f64, percentile(&mut took, share)?));
        seconds.into_iter().filter_map(point).collect()
    };
    let (gets, lists) = &series.calls;
    let mut lines = vec![
        line("one cluster, p50", of(gets, 0.5)),
        line("one cluster, p99", of(gets, 0.99)),
        line("page of a list, p99", of(lists, 0.99)),
    ];
    lines.retain(|line| !line.points.is_empty());
    series.over_time("Answers to callers, by the second", "milliseconds", lines)
}

fn cpu(series: &Series) -> Plot {
    let usages = series.after_begin(&series.usages, |usage| usage.at);
    let used = |pair: &[&crate::follow::Usage]| {
        let (one, other) = (pair[0], pair[1]);
        let seconds = (other.at - one.at) as f64 / 1_000.0;
        let same = one.pid == other.pid && seconds > 0.0;
        same.then(|| (series.seconds(other.at), 100.0 * (other.cpu_seconds - one.cpu_seconds) / seconds))
    };
    let points = usages.windows(2).filter_map(used).collect();
    series.over_time("CPU of fleetbeat", "percent of one core", vec![line("user and system", points)])
}

fn memory(series: &Series) -> Plot {
    let usages = series.after_begin(&series.usages, |usage| usage.at);
    let points = usages.iter().map(|usage| (series.seconds(usage.at), usage.rss_kib as f64 / 1_024.0)).collect();
    series.over_time("Resident memory of fleetbeat", "MiB", vec![line("RSS", points)])
}

fn backlog(series: &Series) -> Plot {
    let readings = series.after_begin(&series.readings, |reading| reading.at);
    let of = |name: &str| -> Vec<(f64, f64)> {
        let value = |reading: &&Reading| Some((series.seconds(reading.at), *reading.plain.get(name)?));
        readings.iter().filter_map(value).collect()
    };
    let (waiting, unsaved) = (of("fleetbeat_events_waiting"), of("fleetbeat_events_unsaved"));
    if waiting.iter().chain(&unsaved).all(|(_, count)| *count == 0.0) {
        return Plot::default();
    }
    let lines = vec![line("for Redis", waiting), line("for the database", unsaved)];
    series.over_time("Events that wait", "count", lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Usage;
    use crate::judge::Verdict;

    #[test]
    fn every_picture_is_drawn_that_there_is_something_for() {
        let usage = |at, cpu_seconds| Usage { at, pid: 1, cpu_seconds, rss_kib: 90_000, threads: 4, descriptors: 9 };
        let verdict = Verdict {
            detections: vec![0.4, 2.5],
            told: (vec![1_000, 4_000], vec![1_400, 6_500]),
            ..Verdict::default()
        };
        let series = Series {
            play: (0, 10_000),
            usages: (0..10).map(|second| usage(second * 1_000, second as f64 * 0.1)).collect(),
            readings: Vec::new(),
            calls: ((0..50).map(|n| Call { at: n * 100, seconds: 0.002, status: 200 }).collect(), Vec::new()),
            outages: Vec::new(),
            verdict,
        };
        let names: Vec<&str> = draw(&series).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["transitions", "detection", "answers", "cpu", "memory"]);
    }
}
