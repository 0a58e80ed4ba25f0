//! A running fleet: starting it, changing it, asking it, stopping it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use super::behaviour::Behaviour;
use super::clock::Clock;
use super::door::{self, Command, Door};
use super::error::FleetError;
use super::expect::{Expected, expected};
use super::options::FleetOptions;
use super::role::{Role, Scope};
use super::select::Selector;
use super::spoke::{RegistrationFile, Spoke};
use super::stats::{Descriptors, Pace, Served, raise_descriptor_limit};
use super::tls::{Authority, SpokeTls};
use super::truth::{Truth, TruthLog};

/// Descriptors kept for everything else in the process, besides those already open.
const RESERVED_DESCRIPTORS: u64 = 256;

/// One change of one spoke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The spoke's name.
    pub spoke: String,
    /// What of it; all of it unless told otherwise.
    #[serde(default)]
    pub role: Scope,
    /// How it behaves from now on.
    pub behaviour: Behaviour,
}

/// A fleet of simulated spokes. Dropping it ends everything it runs.
pub struct Fleet {
    handle: FleetHandle,
    runtime: Option<Runtime>,
}

/// A way to use a running fleet from several places; it does not keep the fleet alive.
#[derive(Clone)]
pub struct FleetHandle(Arc<Core>);

struct Core {
    spokes: Vec<Spoke>,
    by_name: HashMap<String, usize>,
    doors: Vec<Vec<Arc<Door>>>,
    /// Gone once the fleet has been stopped: the doors end with their senders.
    live: Mutex<Option<Vec<Live>>>,
    changes: tokio::sync::Mutex<()>,
    authority: Arc<Authority>,
    truth: TruthLog,
    clock: Clock,
    pace: Arc<Pace>,
    runtime: Handle,
    stopped: watch::Sender<bool>,
}

/// How one spoke behaves now.
struct Live {
    behaviours: Vec<(Role, Behaviour)>,
    commands: Vec<mpsc::UnboundedSender<Command>>,
    expected: Expected,
}

type Done = oneshot::Receiver<std::io::Result<()>>;

impl Fleet {
    /// Starts a fleet on the runtime it is called in.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(options: &FleetOptions) -> Result<Fleet, FleetError> {
        let core = Core::start(options)?;
        Ok(Fleet { handle: FleetHandle(Arc::new(core)), runtime: None })
    }

    /// Starts a fleet on `threads` threads of its own, so that it does not compete for the caller's workers.
    pub fn start_on_own_threads(options: &FleetOptions, threads: usize) -> Result<Fleet, FleetError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("spokes")
            .enable_all()
            .build()
            .map_err(FleetError::Runtime)?;
        let entered = runtime.enter();
        let mut fleet = Self::start(options)?;
        drop(entered);
        fleet.runtime = Some(runtime);
        Ok(fleet)
    }

    /// A handle to share.
    pub fn handle(&self) -> FleetHandle {
        self.handle.clone()
    }
}

impl std::ops::Deref for Fleet {
    type Target = FleetHandle;

    fn deref(&self) -> &FleetHandle {
        &self.handle
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl FleetHandle {
    /// Every spoke, by index.
    pub fn spokes(&self) -> &[Spoke] {
        &self.0.spokes
    }

    /// The spoke with this name.
    pub fn spoke(&self, name: &str) -> Option<&Spoke> {
        self.0.by_name.get(name).map(|at| &self.0.spokes[*at])
    }

    /// The authority that signed every certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        self.0.authority.ca_pem()
    }

    /// What registers the whole fleet through `POST /api/v1/clusters:import`.
    pub fn registrations(&self) -> RegistrationFile {
        let clusters = self.spokes().iter().map(|spoke| spoke.registration(self.ca_pem())).collect();
        RegistrationFile { clusters }
    }

    /// Makes one spoke behave differently; when this returns it does.
    pub async fn set(&self, spoke: &str, role: impl Into<Scope>, behaviour: Behaviour) -> Result<(), FleetError> {
        let change = Change { spoke: spoke.to_owned(), role: role.into(), behaviour };
        self.apply(&[change]).await
    }

    /// Makes many changes as close together as possible, in order; refuses all of them when one makes no sense.
    pub async fn apply(&self, changes: &[Change]) -> Result<(), FleetError> {
        self.0.apply(changes).await
    }

    /// How the spoke behaves now, role by role.
    pub fn behaviours(&self, spoke: &str) -> Option<BTreeMap<Role, Behaviour>> {
        let at = *self.0.by_name.get(spoke)?;
        let live = self.0.live.lock();
        Some(live.as_ref()?.get(at)?.behaviours.iter().copied().collect())
    }

    /// What a correct monitor must show for the spoke now.
    pub fn expected(&self, spoke: &str) -> Option<Expected> {
        let at = *self.0.by_name.get(spoke)?;
        Some(self.0.live.lock().as_ref()?.get(at)?.expected)
    }

    /// The whole truth so far.
    pub fn truth(&self) -> Vec<Truth> {
        self.truth_after(0, usize::MAX)
    }

    /// The truth from number `seq` on (exclusive), at most `limit` entries.
    pub fn truth_after(&self, seq: u64, limit: usize) -> Vec<Truth> {
        self.0.truth.after(seq, limit)
    }

    /// The number of the last truth entry, as it grows.
    pub fn last_truth(&self) -> watch::Receiver<u64> {
        self.0.truth.last_seq()
    }

    /// What the fleet has served.
    pub fn served(&self) -> Served {
        total(self.0.doors.iter().flatten())
    }

    /// Connections accepted, by the second of the epoch; seconds without any are left out.
    pub fn pace(&self) -> BTreeMap<i64, u64> {
        self.0.pace.read()
    }

    /// What one spoke has served, role by role.
    pub fn served_by(&self, spoke: &str) -> Option<BTreeMap<Role, Served>> {
        let at = *self.0.by_name.get(spoke)?;
        Some(self.0.doors[at].iter().map(|door| (door.role, door.counters.read())).collect())
    }

    /// What one spoke has served, all roles together.
    pub fn served_in_all(&self, spoke: &str) -> Option<Served> {
        let at = *self.0.by_name.get(spoke)?;
        Some(total(self.0.doors[at].iter()))
    }

    /// The changes that give `behaviour` to `role` of every chosen spoke that has it.
    pub fn selected(&self, selector: &Selector, role: impl Into<Scope>, behaviour: Behaviour) -> Vec<Change> {
        let role = role.into();
        let chosen = selector.choose(self.spokes()).into_iter().filter(|spoke| spoke.has(role));
        chosen.map(|spoke| Change { spoke: spoke.name.clone(), role, behaviour }).collect()
    }

    /// Milliseconds since the fleet started; the time scale of [`Truth::at_ms`].
    pub fn uptime_ms(&self) -> u64 {
        self.0.clock.ms()
    }

    /// Closes every listener and connection. The truth and the counters stay readable.
    pub fn stop(&self) {
        self.0.live.lock().take();
        let _ = self.0.truth.flush();
        self.0.stopped.send_replace(true);
    }

    /// Returns when the fleet has been stopped.
    pub async fn stopped(&self) {
        let mut stopped = self.0.stopped.subscribe();
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }
}

fn total<'a>(doors: impl Iterator<Item = &'a Arc<Door>>) -> Served {
    let mut sum = Served::default();
    doors.for_each(|door| sum += door.counters.read());
    sum
}

impl Core {
    fn start(options: &FleetOptions) -> Result<Core, FleetError> {
        let mut spokes = Spoke::plan(options)?;
        let descriptors = descriptor_budget(&spokes, options)?;
        let authority = Arc::new(Authority::new()?);
        let truth = TruthLog::create(options.truth_file.as_deref()).map_err(FleetError::Truth)?;
        let (clock, pace) = (Clock::start(), Arc::default());
        let opening = Opening { options, authority: &authority, descriptors, clock, pace: Arc::clone(&pace) };
        let mut doors = Vec::with_capacity(spokes.len());
        let mut live = Vec::with_capacity(spokes.len());
        for spoke in &mut spokes {
            let (opened, commands) = opening.open(spoke)?;
            doors.push(opened);
            let behaviours = spoke.endpoints.iter().map(|one| (one.role, Behaviour::Healthy)).collect();
            live.push(Live { behaviours, commands, expected: expected(spoke, []) });
        }
        Ok(Core {
            by_name: spokes.iter().enumerate().map(|(at, spoke)| (spoke.name.clone(), at)).collect(),
            spokes,
            doors,
            live: Mutex::new(Some(live)),
            changes: tokio::sync::Mutex::new(()),
            clock,
            pace,
            authority,
            truth,
            runtime: Handle::current(),
            stopped: watch::Sender::new(false),
        })
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), FleetError> {
        let found = changes.iter().map(|change| self.find(change)).collect::<Result<Vec<_>, _>>()?;
        let _one_at_a_time = self.changes.lock().await;
        let mut waiting = Vec::with_capacity(changes.len());
        for (at, change) in found.into_iter().zip(changes) {
            self.change(at, change, &mut waiting)?;
        }
        self.truth.flush().map_err(FleetError::Truth)?;
        for (door, done) in waiting {
            let result = done.await.map_err(|_| FleetError::Stopped)?;
            result.map_err(|source| FleetError::Listen { address: door.address, source })?;
        }
        Ok(())
    }

    fn find(&self, change: &Change) -> Result<usize, FleetError> {
        let at = *self.by_name.get(&change.spoke).ok_or_else(|| FleetError::NoSuchSpoke(change.spoke.clone()))?;
        if self.spokes[at].has(change.role) {
            Ok(at)
        } else {
            Err(FleetError::NoSuchRole { spoke: change.spoke.clone(), role: change.role })
        }
    }

    /// Logs one change and sends it to the doors, without a pause in between.
    fn change(&self, at: usize, change: &Change, waiting: &mut Vec<(Arc<Door>, Done)>) -> Result<(), FleetError> {
        let mut live = self.live.lock();
        let live = live.as_mut().and_then(|live| live.get_mut(at)).ok_or(FleetError::Stopped)?;
        let mut changed = Vec::new();
        for (nth, (role, behaviour)) in live.behaviours.iter_mut().enumerate() {
            if change.role.covers(*role) && *behaviour != change.behaviour {
                *behaviour = change.behaviour;
                changed.push(nth);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let before = live.expected;
        live.expected = expected(&self.spokes[at], live.behaviours.iter().copied());
        self.truth.push(self.told(change, before, live.expected)).map_err(FleetError::Truth)?;
        for nth in changed {
            let (done, receiver) = oneshot::channel();
            let command = Command { behaviour: change.behaviour, done };
            live.commands[nth].send(command).map_err(|_| FleetError::Stopped)?;
            waiting.push((Arc::clone(&self.doors[at][nth]), receiver));
        }
        Ok(())
    }

    fn told(&self, change: &Change, before: Expected, now: Expected) -> Truth {
        Truth {
            seq: 0,
            at: Clock::wall(),
            at_ms: self.clock.ms(),
            spoke: change.spoke.clone(),
            role: change.role,
            behaviour: change.behaviour,
            state: now.state,
            score: now.score,
            previous_state: before.state,
            previous_score: before.score,
            clear: before.clear && now.clear,
        }
    }
}

/// What opening a spoke's listeners takes.
struct Opening<'a> {
    options: &'a FleetOptions,
    authority: &'a Arc<Authority>,
    descriptors: Arc<Descriptors>,
    clock: Clock,
    pace: Arc<Pace>,
}

type Opened = (Vec<Arc<Door>>, Vec<mpsc::UnboundedSender<Command>>);

impl Opening<'_> {
    /// Opens every listener of `spoke` and notes the ports it got.
    fn open(&self, spoke: &mut Spoke) -> Result<Opened, FleetError> {
        let tls = Arc::new(SpokeTls::new(Arc::clone(self.authority), spoke.dns_name(), spoke.address));
        let mut opened = (Vec::new(), Vec::new());
        for endpoint in &mut spoke.endpoints {
            let wanted = (spoke.address, endpoint.port).into();
            let failed = |source| FleetError::Listen { address: wanted, source };
            let listener = door::listen(wanted).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            endpoint.port = address.port();
            let door = Arc::new(Door {
                role: endpoint.role,
                address,
                tls: endpoint.tls.then(|| Arc::clone(&tls)),
                token: spoke.token.clone().filter(|_| endpoint.role == Role::Api),
                idle_close: self.options.idle_close,
                clock: self.clock,
                descriptors: Arc::clone(&self.descriptors),
                counters: Default::default(),
                pace: Arc::clone(&self.pace),
            });
            opened.1.push(attend(&door, listener));
            opened.0.push(door);
        }
        Ok(opened)
    }
}

fn attend(door: &Arc<Door>, listener: TcpListener) -> mpsc::UnboundedSender<Command> {
    let (sender, commands) = mpsc::unbounded_channel();
    tokio::spawn(door::keep(Arc::clone(door), listener, commands));
    sender
}

/// Descriptors for connections, or an error that tells what to change.
fn descriptor_budget(spokes: &[Spoke], options: &FleetOptions) -> Result<Arc<Descriptors>, FleetError> {
    let limit = raise_descriptor_limit();
    let open = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let reserve = open + RESERVED_DESCRIPTORS;
    let listeners = spokes.iter().map(|spoke| spoke.endpoints.len() as u64).sum::<u64>();
    let connections = listeners * options.connections_per_endpoint as u64;
    let needed = listeners + connections + reserve;
    if needed > limit {
        return Err(FleetError::Descriptors { spokes: spokes.len(), needed, listeners, connections, reserve, limit });
    }
    Ok(Descriptors::new(limit - listeners - reserve))
}
