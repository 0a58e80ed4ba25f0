//! Running a scenario: start, register, watch, trouble, measure, judge, stop.

mod api;
mod callers;
mod drain;
mod figures;
mod listening;
mod outages;
mod progress;
mod recovery;
mod restart;
mod script;
mod stand;
mod written;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::clock::{WallMs, wall_ms};
use crate::follow::{
    Arrivals, FirstChecks, MachineWatch, Notes, Usage, ended_by_itself, follow_channels, follow_live, follow_metrics,
    follow_process, follow_stream, read_metrics,
};
use crate::http::Http;
use crate::judge::{Evidence, Verdict, judge};
use crate::report::{How, Report, Series};
use crate::scenario::{Scenario, is_figure, plan};
use crate::scrape::Reading;
use crate::spokes::{ClusterType, Served, Spoke};

use callers::{Calls, Known};
use figures::Measured;
use listening::Listening;
use outages::{Diary, Signs, carry_out};
use progress::Progress;
use recovery::Nominal;
use stand::Stand;

pub use callers::Call;
pub use outages::Done;
pub use stand::{Attached, Programs};

/// Names of the bus, as fleetbeat has them by default.
const STREAM: &str = "aiops:stream:events";
const CHANNELS: &str = "aiops:events:cluster";
/// Longest wait for what is still on its way at the end.
const DRAIN: Duration = Duration::from_secs(30);
/// What starting, registering, collecting and judging may take, besides the scenario's own times.
const OVERHEAD: Duration = Duration::from_secs(300);

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The scenario's name.
    pub name: String,
    /// The scenario.
    pub scenario: Scenario,
    /// Where the programs are.
    pub programs: Programs,
    /// How it is run.
    pub how: How,
    /// Where the monitor's log is kept.
    pub logs: Option<PathBuf>,
    /// Whether to show bars.
    pub progress: bool,
}

/// Runs a scenario to its end. Whatever it started has ended when this returns, also when it is dropped.
///
/// # Errors
/// When something cannot be started, ends by itself, or takes far too long. A figure beyond its limit is no error.
pub async fn run(options: &RunOptions) -> anyhow::Result<Report> {
    let time = &options.scenario.time;
    let own = time.warm_up_seconds * 2.0 + time.still_seconds + time.play_seconds + time.settle_seconds;
    let limit = Duration::from_secs_f64(own) + OVERHEAD;
    let within = timeout(limit, Run::new(options).go()).await;
    within.unwrap_or_else(|_| bail!("the run took longer than {} s and was ended", limit.as_secs()))
}

/// A run under way.
struct Run<'a> {
    options: &'a RunOptions,
    progress: Progress,
    live: Arrivals,
    stream: Arrivals,
    channel: Arrivals,
    subscribed: Notes<(WallMs, WallMs)>,
    readings: Notes<Reading>,
    usages: Notes<Usage>,
    firsts: FirstChecks,
    calls: Calls,
    figures: BTreeMap<String, f64>,
    began: WallMs,
    still: Vec<Reading>,
    play_from: Option<WallMs>,
    registered: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(options: &'a RunOptions) -> Self {
        Self {
            options,
            progress: Progress::new(options.progress),
            live: Arrivals::default(),
            stream: Arrivals::default(),
            channel: Arrivals::default(),
            subscribed: Notes::default(),
            readings: Notes::default(),
            usages: Notes::default(),
            firsts: FirstChecks::default(),
            calls: Calls::default(),
            figures: BTreeMap::new(),
            began: wall_ms(),
            still: Vec::new(),
            play_from: None,
            registered: Vec::new(),
        }
    }

    fn scenario(&self) -> &'a Scenario {
        &self.options.scenario
    }

    async fn go(mut self) -> anyhow::Result<Report> {
        let scenario = self.scenario();
        let mut stand = Stand::start(scenario, &self.options.programs, self.options.how.kept_awake).await?;
        let mut diary = Diary { up: vec![(wall_ms(), WallMs::MAX / 2)], ..Diary::default() };
        let (pid, follows_pid) = watch::channel(stand.monitor.pid());
        let outcome = tokio::select! {
            series = self.course(&mut stand, pid, &mut diary) => series,
            () = ended_by_itself(follows_pid) => Err(anyhow!("fleetbeat ended by itself")),
        };
        self.leave(&stand).await;
        let (series, broken_off) = match outcome {
            Ok(series) => (series, None),
            Err(error) => self.what_there_is(&stand, &diary, &error),
        };
        drop(stand);
        debug_assert!(self.figures.keys().all(|name| is_figure(name)), "unknown figures: {:?}", self.figures.keys());
        let report = Report::new(self.options, self.began, self.figures, series);
        Ok(report.broken_off(broken_off))
    }

    /// Keeps the log of a monitor of this run, and takes back what was registered at another.
    async fn leave(&mut self, stand: &Stand) {
        if let (Some(folder), Some(log)) = (&self.options.logs, stand.monitor.log()) {
            let kept = std::fs::create_dir_all(folder).and_then(|()| std::fs::copy(log, folder.join("fleetbeat.log")));
            if let Err(error) = kept {
                self.progress.say(&format!("fleetbeat's log could not be kept: {error}"));
            }
        }
        if self.options.programs.attach.is_some() {
            let left = api::remove(stand.monitor.http(), &self.registered).await;
            if left > 0 {
                self.progress.say(&format!("{left} clusters could not be removed again"));
            }
        }
    }

    /// The figures of a run that did not come to its end, and why.
    fn what_there_is(&mut self, stand: &Stand, diary: &Diary, error: &anyhow::Error) -> (Series, Option<String>) {
        let words = stand.monitor.last_words().map_or(String::new(), |words| format!("\nIts last words:\n{words}"));
        let why = format!("{error:#}{words}");
        let (usages, readings) = (self.usages.take(), self.readings.take());
        let play = (self.play_from.unwrap_or(self.began), wall_ms());
        let mut calls = (Vec::new(), Vec::new());
        if self.play_from.is_some() {
            let measured = self.measured(stand, play, &self.still, &readings, &usages).figures(diary);
            self.figures.extend(measured);
            calls = self.put_calls(diary);
        }
        let outages = diary.outages.clone();
        (Series { play, usages, readings, calls, outages, verdict: Verdict::default() }, Some(why))
    }

    /// From the registration of the fleet to the verdict.
    async fn course(
        &mut self,
        stand: &mut Stand,
        pid: watch::Sender<Option<u32>>,
        diary: &mut Diary,
    ) -> anyhow::Result<Series> {
        let scenario = self.scenario();
        let attached = self.options.programs.attach.is_some();
        let log_from = if attached { api::log_end(stand.monitor.http()).await? } else { 0 };
        let (consumer_away, away) = watch::channel(false);
        let follows_pid = pid.subscribe();
        let signs = Signs { pid, consumer_away, firsts: self.firsts.clone(), begun: Notes::default() };
        let followers = self.follow(stand, log_from, away, follows_pid);
        let known = self.register(stand).await?;
        self.still.push(read_metrics(stand.monitor.http(), &self.firsts).await?);
        self.progress.pass("still", Duration::from_secs_f64(scenario.time.still_seconds), String::new).await;
        self.still.push(read_metrics(stand.monitor.http(), &self.firsts).await?);

        let served = stand.swarm.served().await?;
        let play_from = wall_ms();
        self.play_from = Some(play_from);
        let listening = self.play(stand, &known, &signs, diary).await?;
        let play_to = wall_ms();
        self.settle(stand, diary).await?;
        self.put_served(served, stand.swarm.served().await?);
        let evidence = self.collect(stand, log_from, play_from, diary).await?;
        listening.judge(&evidence.log, &mut self.figures).await;
        drop(followers);
        let (usages, readings) = (self.usages.take(), self.readings.take());
        let measured = self.measured(stand, (play_from, play_to), &self.still, &readings, &usages).figures(diary);
        self.figures.extend(measured);
        let calls = self.put_calls(diary);
        self.put_starts(stand, play_from, diary).await?;
        let nominal = self.nominal(stand);
        recovery::put_pace_after_outages(&mut self.figures, &diary.outages, &readings, nominal);
        drain::put_drains(&mut self.figures, &diary.outages, evidence.stream.as_deref().unwrap_or_default());
        let verdict = tokio::task::spawn_blocking(move || judge(&evidence)).await?;
        self.figures.extend(verdict.figures.clone());
        Ok(Series { play: (play_from, play_to), usages, readings, calls, outages: diary.outages.clone(), verdict })
    }

    /// Starts everything that notes what arrives.
    fn follow(
        &self,
        stand: &Stand,
        log_from: i64,
        away: watch::Receiver<bool>,
        pid: watch::Receiver<Option<u32>>,
    ) -> JoinSet<()> {
        let mut followers = JoinSet::new();
        followers.spawn(follow_live(stand.monitor.http().clone(), log_from, self.live.clone()));
        followers.spawn(follow_process(pid, self.usages.clone()));
        if let Some(address) = stand.redis_address() {
            followers.spawn(follow_stream(address, STREAM.to_owned(), away, self.stream.clone()));
            let channels = follow_channels(address, CHANNELS.to_owned(), self.channel.clone(), self.subscribed.clone());
            followers.spawn(channels);
        }
        followers
    }

    /// Registers the fleet and waits until every cluster was checked once.
    async fn register(&mut self, stand: &Stand) -> anyhow::Result<Known> {
        let fleet = stand.swarm.registrations().await?;
        let (begin, http) = (Instant::now(), stand.monitor.http());
        let bar = self.progress.bar("register", fleet.len() as u64);
        let registered = api::register(http, &fleet, |more| bar.inc(more as u64)).await?;
        let ids = registered.ids;
        self.registered.clone_from(&ids);
        bar.finish_and_clear();
        self.put("registrations_repeated", registered.repeated as f64);
        // A fleetbeat that ran before may have had them.
        if self.options.programs.attach.is_none() {
            self.calls.written.registered(&ids);
        }
        self.put("registered_seconds", begin.elapsed().as_secs_f64());
        let patience = Duration::from_secs_f64(self.scenario().time.warm_up_seconds);
        let checked = self.all_checked(http, fleet.len(), 0.0, patience).await;
        self.put("all_checked_seconds", checked.map_or(f64::INFINITY, |_| begin.elapsed().as_secs_f64()));
        let sample = fleet.into_iter().take(64).collect();
        Ok(Known { ids: Arc::new(ids), sample: Arc::new(sample) })
    }

    /// Waits until every cluster was checked after the given time.
    async fn all_checked(&self, http: &Http, clusters: usize, after_seconds: f64, patience: Duration) -> Option<()> {
        let (begin, bar) = (Instant::now(), self.progress.bar("checked", clusters as u64));
        while begin.elapsed() < patience {
            if let Ok(reading) = read_metrics(http, &self.firsts).await {
                let checked = reading.checked_since(after_seconds);
                self.readings.push(reading);
                bar.set_position(checked as u64);
                if checked >= clusters {
                    bar.finish_and_clear();
                    return Some(());
                }
            }
            sleep(Duration::from_millis(250 + clusters as u64 / 10)).await;
        }
        bar.finish_and_clear();
        self.progress.say("not every cluster was checked in time");
        None
    }

    /// Plays the troubles, carries out the outages, and lets callers call.
    async fn play(
        &mut self,
        stand: &mut Stand,
        known: &Known,
        signs: &Signs,
        diary: &mut Diary,
    ) -> anyhow::Result<Listening> {
        let scenario = self.scenario();
        let time = Duration::from_secs_f64(scenario.time.play_seconds);
        let listening = Listening::begin(&scenario.callers, stand.monitor.http(), time).await;
        let script = script::compose(scenario, stand.swarm.spokes());
        self.put("script_changes", script.changes.len() as f64);
        let http = stand.monitor.http().clone();
        let every = Duration::from_secs_f64(scenario.time.scrape_seconds);
        let first = read_metrics(&http, &self.firsts).await.context("the monitor has no metrics")?;
        self.readings.push(first);
        let mut followers = JoinSet::new();
        followers.spawn(follow_metrics(http.clone(), every, self.readings.clone(), self.firsts.clone()));
        let machine = MachineWatch::begin();
        let callers = callers::start(&scenario.callers, &http, known, &self.calls);
        stand.swarm.play(&script).await?;
        let outages = plan(&scenario.outages, scenario.cycles.as_ref(), scenario.fleet.seed);
        let (_, carried) = tokio::join!(
            self.progress.pass("play", time, || self.message(signs)),
            carry_out(stand, &outages, signs, diary)
        );
        carried?;
        callers.finish().await;
        let given = machine.given();
        self.put("stolen_percent", given.stolen_percent);
        self.put("stood_still_max_seconds", given.stood_still_max.as_secs_f64());
        drop(followers);
        if let Ok(last) = read_metrics(&http, &self.firsts).await {
            self.readings.push(last);
        }
        Ok(listening)
    }

    fn message(&self, signs: &Signs) -> String {
        let rate = self.readings.with_last(|last| last.map_or(0.0, Reading::all_checks));
        let (live, stream) = (self.live.events.len(), self.stream.events.len());
        let outage = signs.begun.with_last(|last| last.cloned()).unwrap_or_default();
        format!("{rate} checks, {live} events live, {stream} on the stream {outage}")
    }

    /// Lets the last changes be noticed, and everything arrive that is on its way.
    async fn settle(&mut self, stand: &mut Stand, diary: &Diary) -> anyhow::Result<()> {
        let http = stand.monitor.http().clone();
        if let Some(last_start) = diary.last_start {
            let patience = Duration::from_secs_f64(self.scenario().time.warm_up_seconds);
            self.all_checked(&http, stand.swarm.spokes().len(), last_start as f64 / 1_000.0, patience).await;
        }
        let mut followers = JoinSet::new();
        let every = Duration::from_secs(2);
        followers.spawn(follow_metrics(http.clone(), every, self.readings.clone(), self.firsts.clone()));
        let time = Duration::from_secs_f64(self.scenario().time.settle_seconds);
        self.progress.pass("settle", time, || format!("{} events live", self.live.events.len())).await;
        drop(followers);
        let begin = Instant::now();
        while begin.elapsed() < DRAIN {
            let reading = read_metrics(&http, &self.firsts).await?;
            let open = |name: &str| reading.plain.get(name).copied().unwrap_or(0.0);
            let left = open("fleetbeat_events_waiting") + open("fleetbeat_events_unsaved");
            self.readings.push(reading);
            if left == 0.0 {
                break;
            }
            sleep(Duration::from_millis(250)).await;
        }
        // What was acknowledged a moment ago is still on its way to the readers.
        sleep(Duration::from_millis(1_500)).await;
        Ok(())
    }

    async fn collect(
        &mut self,
        stand: &Stand,
        log_from: i64,
        play_from: WallMs,
        diary: &Diary,
    ) -> anyhow::Result<Evidence> {
        let scenario = self.scenario();
        let http = stand.monitor.http();
        let end = wall_ms();
        let live = self.live.events.take();
        let (log, mut misshapen) = api::log(http, log_from).await?;
        for arrivals in [&self.live, &self.stream, &self.channel] {
            misshapen.extend(arrivals.misshapen.take());
        }
        let redis = stand.redis_address().is_some();
        let up = diary.up.iter().map(|(from, to)| (*from, (*to).min(end))).collect();
        let name = |spoke: &Spoke| (spoke.name.clone(), script::cadence(scenario, spoke.cluster_type));
        let at_end = api::clusters(http).await?;
        self.put("clusters", stand.swarm.spokes().len() as f64);
        Ok(Evidence {
            expect: scenario.expect,
            cadences: stand.swarm.spokes().iter().map(name).collect::<HashMap<_, _>>(),
            truth: stand.swarm.truth().await?,
            span: (self.began, end),
            play_from,
            up,
            // Newer events than the collected arrivals could hold are no evidence.
            log: log.into_iter().filter(|record| record.at <= end).collect(),
            log_is_whole: log_from == 0,
            final_states: at_end.iter().map(|one| (one.name.clone(), one.state())).collect(),
            kept: at_end.iter().map(|one| (one.id.clone(), one.kept())).collect(),
            writes: self.calls.written.take(),
            live,
            // What another run's clusters left on a Redis that ran already is none of this run's.
            stream: redis.then(|| {
                let mut events = self.stream.events.take();
                events.retain(|event| event.record.position > log_from);
                events
            }),
            channel: redis.then(|| self.channel.events.take()),
            subscribed: self.subscribed.take(),
            misshapen,
            restarted: diary.restarted,
        })
    }

    fn measured<'b>(
        &self,
        stand: &Stand,
        play: (WallMs, WallMs),
        still: &'b [Reading],
        readings: &'b [Reading],
        usages: &'b [Usage],
    ) -> Measured<'b> {
        let period = |kind| self.scenario().cadence(kind).0 as f64 / 1_000.0;
        let word = |kind: ClusterType| kind.to_string().to_uppercase().replace('-', "_");
        let spokes = stand.swarm.spokes();
        Measured {
            still,
            play,
            readings,
            usages,
            clusters: spokes.len(),
            nominal_rate: self.nominal(stand).rate,
            periods: ClusterType::ALL.into_iter().map(|kind| (word(kind), period(kind))).collect(),
        }
    }

    fn nominal(&self, stand: &Stand) -> Nominal {
        let periods = || stand.swarm.spokes().iter().map(|spoke| self.scenario().cadence(spoke.cluster_type).0);
        Nominal {
            rate: periods().map(|period| 1_000.0 / period as f64).sum(),
            longest_period: periods().max().unwrap_or(1),
        }
    }

    /// What starts did to the fleet: the first one, and the last again.
    async fn put_starts(&mut self, stand: &Stand, play_from: WallMs, diary: &Diary) -> anyhow::Result<()> {
        let accepted = stand.swarm.pace().await?;
        let scenario = self.scenario();
        let period = |spoke: &Spoke| scenario.cadence(spoke.cluster_type).0 as f64 / 1_000.0;
        let spokes = stand.swarm.spokes();
        let even = spokes.iter().map(|spoke| spoke.endpoints.len() as f64 / period(spoke)).sum();
        let start = diary.last_started();
        restart::put_connects(&mut self.figures, &accepted, even, (self.began, play_from), start);
        if let Some(start) = start {
            let periods = spokes.iter().map(|spoke| (spoke.name.clone(), period(spoke))).collect();
            restart::put_first_checks(&mut self.figures, &self.firsts.take(), &periods, start);
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    fn put_served(&mut self, before: Served, after: Served) {
        self.put("handshakes", (after.handshakes - before.handshakes) as f64);
        self.put("resumed_handshakes", (after.resumed - before.resumed) as f64);
        if after.handshakes > before.handshakes {
            let share = (after.resumed - before.resumed) as f64 / (after.handshakes - before.handshakes) as f64;
            self.put("resumed_share", share);
        }
        self.put("requests", (after.requests - before.requests) as f64);
        self.put("spokes_out_of_descriptors", after.turned_away as f64);
    }

    /// Returns the calls that most wait for: those of one cluster, and of lists.
    fn put_calls(&mut self, diary: &Diary) -> (Vec<Call>, Vec<Call>) {
        let well = Call::is_well;
        let (gets, lists) = (self.calls.gets.take(), self.calls.lists.take());
        let (writes, churn) = (self.calls.writes.take(), self.calls.churn.take());
        figures::put_calls(&mut self.figures, "get", &gets, well);
        figures::put_outage_share(&mut self.figures, "get", &gets, &diary.outages);
        figures::put_calls(&mut self.figures, "list", &lists, well);
        figures::put_calls(&mut self.figures, "write", &writes, |call| {
            well(call) || call.status == 503 && figures::may_be_refused(call.at, &diary.outages)
        });
        figures::put_writes_again(&mut self.figures, &writes, &diary.outages);
        figures::put_calls(&mut self.figures, "churn", &churn, well);
        for (name, calls) in [("gets", &gets), ("lists", &lists), ("writes", &writes), ("churn_calls", &churn)] {
            figures::put_rate(&mut self.figures, name, calls);
        }
        (gets, lists)
    }
}
