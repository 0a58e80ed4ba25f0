//! Carrying out planned outages, and a diary of when the monitor was up.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::stand::Stand;
use crate::clock::{WallMs, wall_ms};
use crate::follow::{FirstChecks, Notes};
use crate::scenario::{Harm, Outage, Part};

/// What happened to the servers.
#[derive(Clone, Debug, Default)]
pub struct Diary {
    /// Stretches of time in which the monitor ran; the last one is open.
    pub up: Vec<(WallMs, WallMs)>,
    /// Outages with their first and last moment.
    pub outages: Vec<Done>,
    /// How long the monitor took to be ready, each time, in seconds.
    pub ready_seconds: Vec<f64>,
    /// How long the monitor took to end when asked to, in seconds.
    pub end_seconds: Vec<f64>,
    /// Ends with another exit code than 0.
    pub bad_exits: u64,
    /// When the monitor was first started again.
    pub restarted: Option<WallMs>,
    /// When the monitor was last started again.
    pub last_start: Option<WallMs>,
    /// When it was ready after that.
    pub last_ready: Option<WallMs>,
}

/// An outage that is over.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Done {
    /// How.
    pub harm: Harm,
    /// What.
    pub of: Part,
    /// First moment.
    pub from: WallMs,
    /// Last moment.
    pub to: WallMs,
}

/// Where the world can see whether things are away, and which process the monitor is.
#[derive(Clone)]
pub struct Signs {
    /// The process of the monitor.
    pub pid: watch::Sender<Option<u32>>,
    /// Is the consumer away?
    pub consumer_away: watch::Sender<bool>,
    /// First checks after the monitor was started again.
    pub firsts: FirstChecks,
    /// Outages begun so far.
    pub begun: Notes<String>,
}

enum Moment {
    Begin,
    End,
}

/// Carries out every outage, counted from now. A start that fails ends it all.
pub async fn carry_out(stand: &mut Stand, plan: &[Outage], signs: &Signs, diary: &mut Diary) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut moments: Vec<(f64, Moment, &Outage)> = Vec::new();
    for outage in plan {
        moments.push((outage.at_seconds, Moment::Begin, outage));
        moments.push((outage.at_seconds + outage.for_seconds, Moment::End, outage));
    }
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut open: Vec<(Harm, Part, WallMs)> = Vec::new();
    for (at, moment, Outage { harm, of, .. }) in moments {
        sleep_until(start + Duration::from_secs_f64(at)).await;
        match moment {
            Moment::Begin => {
                signs.begun.push(format!("{harm:?} {of:?}"));
                open.push((*harm, *of, wall_ms()));
                begin(stand, *harm, *of, signs, diary).await?;
            }
            Moment::End => {
                end(stand, *harm, *of, signs, diary).await?;
                if let Some(at) = open.iter().position(|(h, o, _)| (h, o) == (harm, of)) {
                    let (harm, of, from) = open.remove(at);
                    diary.outages.push(Done { harm, of, from, to: wall_ms() });
                }
            }
        }
    }
    Ok(())
}

async fn begin(stand: &mut Stand, harm: Harm, of: Part, signs: &Signs, diary: &mut Diary) -> anyhow::Result<()> {
    if of == Part::Fleetbeat
        && let Some((_, until)) = diary.up.last_mut()
    {
        *until = wall_ms();
    }
    if of == Part::Fleetbeat && harm != Harm::Stop {
        signs.pid.send_replace(None);
    }
    match (of, harm) {
        (Part::Consumer, _) => {
            signs.consumer_away.send_replace(true);
        }
        (Part::Redis, Harm::Blackhole) => stand.redis_proxy()?.set_silent(true),
        (Part::Fleetbeat, Harm::Terminate) => {
            if let Some((took, code)) = stand.monitor.terminate().await {
                diary.end_seconds.push(took.as_secs_f64());
                diary.bad_exits += u64::from(code != Some(0));
            }
        }
        (_, Harm::Stop) => stand.process(of)?.pause(),
        (_, Harm::Kill | Harm::Terminate | Harm::Blackhole) => stand.process(of)?.kill(),
    }
    Ok(())
}

async fn end(stand: &mut Stand, harm: Harm, of: Part, signs: &Signs, diary: &mut Diary) -> anyhow::Result<()> {
    match (of, harm) {
        (Part::Consumer, _) => {
            signs.consumer_away.send_replace(false);
        }
        (Part::Redis, Harm::Blackhole) => stand.redis_proxy()?.set_silent(false),
        (_, Harm::Stop) => {
            stand.process(of)?.resume();
            if of == Part::Fleetbeat {
                diary.up.push((wall_ms(), WallMs::MAX / 2));
            }
        }
        (Part::Fleetbeat, _) => {
            let at = wall_ms();
            diary.restarted.get_or_insert(at);
            diary.last_start = Some(at);
            signs.firsts.begin(at as f64 / 1_000.0);
            let ready = stand.monitor.start_again().await?;
            signs.pid.send_replace(stand.monitor.pid());
            diary.ready_seconds.push(ready.as_secs_f64());
            diary.last_ready = Some(wall_ms());
            diary.up.push((wall_ms(), WallMs::MAX / 2));
        }
        (Part::Redis, _) => stand.redis()?.start_again().await?,
        (Part::Postgresql, _) => stand.postgres()?.start_again().await?,
    }
    Ok(())
}
