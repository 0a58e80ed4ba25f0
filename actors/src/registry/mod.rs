//! The registry: the supervisor of all cluster actors. It compares the roll as stored with the actors that run, and
//! spawns, retunes, stops and restarts them one by one.

mod budget;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use crate::{
    board::Entry,
    cluster::{ClusterActor, ClusterArguments, ClusterMessage, Commons},
    health::CheckReport,
    ports::{Enrolled, Roll, StoreError},
    roll::{Cluster, ClusterId},
    target::Target,
};
use budget::RestartBudget;

/// How long checks in flight may take to end when the process stops.
const FINISH: Duration = Duration::from_secs(10);

/// Pause before a look-up that the store did not answer is made again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What happens to the registry.
pub(crate) enum RegistryMessage {
    /// Something about this cluster changed in the store.
    Poked(ClusterId),
    /// Time to look up again what could not be read.
    LookDue,
    /// Time to compare the whole roll.
    Ticked,
    /// The roll's revisions were read.
    Compared(Result<Vec<(ClusterId, i64)>, StoreError>),
    /// These ids were looked up; those not among the answers are gone.
    Fetched(Vec<ClusterId>, Result<Vec<Enrolled>, StoreError>),
    /// Somebody wants a check of this cluster now.
    Asked(ClusterId, oneshot::Sender<CheckReport>),
    /// The pause before a restart is over.
    RestartDue(ClusterId),
    /// Let checks in flight end, start no more, then say so.
    Stopped(oneshot::Sender<()>),
}

/// What the registry works with.
pub(crate) struct RegistryArguments {
    pub(crate) commons: Arc<Commons>,
    pub(crate) roll: Arc<dyn Roll>,
    pub(crate) reconcile_every: Duration,
    /// The fleet as it was stored when the process started.
    pub(crate) enrolled: Vec<Enrolled>,
}

struct Child {
    actor: Option<ActorRef<ClusterMessage>>,
    target: Arc<Target>,
    budget: RestartBudget,
}

pub(crate) struct RegistryState {
    commons: Arc<Commons>,
    roll: Arc<dyn Roll>,
    reconcile_every: Duration,
    children: HashMap<ClusterId, Child>,
    owners: HashMap<ActorId, ClusterId>,
    /// Clusters to look up, while another look-up is under way.
    wanted: HashSet<ClusterId>,
    fetching: bool,
    /// Could the last look-up not be made? Then one more is due soon, and none before, however many ask.
    unread: bool,
    stopping: bool,
}

pub(crate) struct RegistryActor;

impl Actor for RegistryActor {
    type Msg = RegistryMessage;
    type State = RegistryState;
    type Arguments = RegistryArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<RegistryMessage>,
        arguments: RegistryArguments,
    ) -> Result<RegistryState, ActorProcessingErr> {
        let RegistryArguments { commons, roll, reconcile_every, enrolled } = arguments;
        let mut state = RegistryState {
            commons,
            roll,
            reconcile_every,
            children: HashMap::with_capacity(enrolled.len()),
            owners: HashMap::with_capacity(enrolled.len()),
            wanted: HashSet::new(),
            fetching: false,
            unread: false,
            stopping: false,
        };
        for entry in enrolled {
            state.put_up(&entry);
            state.watch(&myself, &entry.cluster, false).await;
        }
        myself.send_after(reconcile_every, || RegistryMessage::Ticked);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<RegistryMessage>,
        message: RegistryMessage,
        state: &mut RegistryState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RegistryMessage::Poked(id) => {
                state.wanted.insert(id);
                state.fetch(&myself);
            }
            RegistryMessage::LookDue => state.look_up(&myself),
            RegistryMessage::Ticked => state.compare(&myself),
            RegistryMessage::Compared(revisions) => state.compared(&myself, revisions),
            RegistryMessage::Fetched(asked, answer) => state.fetched(&myself, asked, answer).await,
            RegistryMessage::Asked(id, reply) => {
                if let Some(actor) = state.children.get(&id).and_then(|child| child.actor.as_ref()) {
                    let _ = actor.cast(ClusterMessage::Asked(reply));
                }
            }
            RegistryMessage::RestartDue(id) => state.restart(&myself, id).await,
            RegistryMessage::Stopped(reply) => {
                state.stopping = true;
                state.finish(reply);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RegistryMessage>,
        event: SupervisionEvent,
        state: &mut RegistryState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => state.died(&myself, who.get_id(), Some(error.to_string())),
            SupervisionEvent::ActorTerminated(who, _, _) => state.died(&myself, who.get_id(), None),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl RegistryState {
    /// Looks up the wanted clusters; after a look-up that could not be made, when the next one is due.
    fn fetch(&mut self, myself: &ActorRef<RegistryMessage>) {
        if !self.unread {
            self.look_up(myself);
        }
    }

    /// Looks up the wanted clusters, one look-up at a time: answers can never overtake each other.
    fn look_up(&mut self, myself: &ActorRef<RegistryMessage>) {
        if self.fetching || self.wanted.is_empty() {
            return;
        }
        self.fetching = true;
        let ids: Vec<ClusterId> = self.wanted.drain().collect();
        let (roll, actor) = (Arc::clone(&self.roll), myself.clone());
        tokio::spawn(async move {
            let answer = roll.fetch(Some(&ids)).await;
            let _ = actor.cast(RegistryMessage::Fetched(ids, answer));
        });
    }

    fn compare(&self, myself: &ActorRef<RegistryMessage>) {
        let (roll, actor) = (Arc::clone(&self.roll), myself.clone());
        tokio::spawn(async move {
            let _ = actor.cast(RegistryMessage::Compared(roll.revisions().await));
        });
    }

    /// Wants a look at every cluster whose stored generation is not the watched one, or that is on one side only.
    fn compared(&mut self, myself: &ActorRef<RegistryMessage>, revisions: Result<Vec<(ClusterId, i64)>, StoreError>) {
        match revisions {
            Ok(revisions) => {
                let stored: HashMap<ClusterId, i64> = revisions.into_iter().collect();
                let watched = |id: &ClusterId| self.children.get(id).map(|child| child.target.generation());
                let differing = stored.iter().filter(|(id, generation)| watched(id) != Some(**generation));
                let gone = self.children.keys().filter(|id| !stored.contains_key(id));
                let wanted: Vec<ClusterId> = differing.map(|(id, _)| *id).chain(gone.copied()).collect();
                self.wanted.extend(wanted);
                self.fetch(myself);
            }
            Err(error) => tracing::warn!(%error, "the roll could not be compared"),
        }
        myself.send_after(self.reconcile_every, || RegistryMessage::Ticked);
    }

    async fn fetched(
        &mut self,
        myself: &ActorRef<RegistryMessage>,
        asked: Vec<ClusterId>,
        answer: Result<Vec<Enrolled>, StoreError>,
    ) {
        self.fetching = false;
        match answer {
            Ok(found) => {
                let mut gone: HashSet<ClusterId> = asked.into_iter().collect();
                for entry in found {
                    gone.remove(&entry.cluster.id);
                    self.follow(myself, entry).await;
                }
                gone.into_iter().for_each(|id| self.forget(id));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unread, true) {
                    tracing::warn!(%error, clusters = asked.len(), "changed clusters could not be read");
                }
                self.wanted.extend(asked);
                myself.send_after(LOOK_AGAIN, || RegistryMessage::LookDue);
                return;
            }
        }
        self.unread = false;
        self.fetch(myself);
    }

    /// Spawns the actor of a new cluster, or tells a running one of a newer spec.
    async fn follow(&mut self, myself: &ActorRef<RegistryMessage>, entry: Enrolled) {
        if self.stopping {
            return;
        }
        let Some(child) = self.children.get_mut(&entry.cluster.id) else {
            if self.commons.board.get(entry.cluster.id).is_none() {
                self.put_up(&entry);
            }
            self.watch(myself, &entry.cluster, true).await;
            return;
        };
        if child.target.generation() < entry.cluster.generation {
            self.commons.board.describe(Arc::clone(&entry.cluster));
            child.target = Arc::new(self.commons.policy.target(entry.cluster));
            if let Some(actor) = &child.actor {
                let _ = actor.cast(ClusterMessage::Retuned(Arc::clone(&child.target)));
            }
        }
    }

    fn put_up(&self, entry: &Enrolled) {
        let at = self.commons.moment();
        let cadence = self.commons.policy.cadence(&entry.cluster);
        let age = entry.status.last_check_at.and_then(|checked| (at.wall - checked).to_std().ok()).unwrap_or_default();
        self.commons.board.put(Entry {
            cluster: Arc::clone(&entry.cluster),
            status: Arc::new(entry.status.clone()),
            checked: at.now.checked_sub(age).unwrap_or(at.now),
            fresh_for: 2 * cadence.period + cadence.deadline,
        });
    }

    async fn watch(&mut self, myself: &ActorRef<RegistryMessage>, cluster: &Arc<Cluster>, at_once: bool) {
        let target = Arc::new(self.commons.policy.target(Arc::clone(cluster)));
        let budget = RestartBudget::default();
        self.children.insert(cluster.id, Child { actor: None, target, budget });
        self.spawn(myself, cluster.id, at_once).await;
    }

    /// Spawns the actor of a cluster from what the board shows of it: a restarted one forgets nothing.
    async fn spawn(&mut self, myself: &ActorRef<RegistryMessage>, id: ClusterId, at_once: bool) {
        if !self.commons.enabled {
            return;
        }
        let (Some(child), Some(entry)) = (self.children.get_mut(&id), self.commons.board.get(id)) else { return };
        let arguments = ClusterArguments {
            commons: Arc::clone(&self.commons),
            target: Arc::clone(&child.target),
            status: (*entry.status).clone(),
            at_once,
        };
        match Actor::spawn_linked(None, ClusterActor, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.owners.insert(actor.get_id(), id);
                child.actor = Some(actor);
                self.commons.meters.actors.increment(1.0);
            }
            Err(error) => {
                tracing::error!(cluster = %id, %error, "the actor of a cluster could not be started");
                self.restart_later(myself, id);
            }
        }
    }

    fn forget(&mut self, id: ClusterId) {
        self.commons.board.remove(id);
        if let Some(actor) = self.children.remove(&id).and_then(|child| child.actor) {
            actor.stop(None);
        }
    }

    /// Every actor ends with its check in flight; whoever takes longer than [`FINISH`] is cut off.
    fn finish(&mut self, reply: oneshot::Sender<()>) {
        let actors: Vec<_> = self.children.values().filter_map(|child| child.actor.clone()).collect();
        for actor in &actors {
            let _ = actor.cast(ClusterMessage::Finished);
        }
        tokio::spawn(async move {
            let all = async {
                for actor in &actors {
                    let _ = actor.wait(None).await;
                }
            };
            if tokio::time::timeout(FINISH, all).await.is_err() {
                actors.iter().for_each(|actor| actor.stop(None));
            }
            let _ = reply.send(());
        });
    }

    fn died(&mut self, myself: &ActorRef<RegistryMessage>, actor: ActorId, error: Option<String>) {
        let Some(id) = self.owners.remove(&actor) else { return };
        self.commons.meters.actors.decrement(1.0);
        let Some(child) = self.children.get_mut(&id) else { return };
        if self.stopping || child.actor.as_ref().is_none_or(|current| current.get_id() != actor) {
            return;
        }
        child.actor = None;
        tracing::error!(cluster = %id, error, "the actor of a cluster died and is started again");
        self.restart_later(myself, id);
    }

    fn restart_later(&mut self, myself: &ActorRef<RegistryMessage>, id: ClusterId) {
        let now = self.commons.clock.now();
        let Some(child) = self.children.get_mut(&id) else { return };
        self.commons.meters.restarts.increment(1);
        myself.send_after(child.budget.pause(now), move || RegistryMessage::RestartDue(id));
    }

    async fn restart(&mut self, myself: &ActorRef<RegistryMessage>, id: ClusterId) {
        let due = self.children.get(&id).is_some_and(|child| child.actor.is_none());
        if due && !self.stopping {
            self.spawn(myself, id, true).await;
        }
    }
}
