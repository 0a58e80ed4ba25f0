//! Import: many clusters at once, idempotent by source or else by name, a result for each.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use fleetbeat_actors::{
    health::Status,
    ports::StoreError,
    roll::{Cluster, ClusterId},
};
use serde_json::{Map, Value};

use super::{
    change::Change,
    error::WriteError,
    invalid::Invalid,
    source::{self, claim},
    spec::Spec,
    write::{Registration, created, registered},
};
use crate::{audit::Action, identity::Author};

/// Most clusters of one import.
pub const MAX_IMPORT: usize = 1_000;
/// New clusters stored in one transaction: few enough that a busy store takes them within the time of one write.
const BATCH: usize = 50;

/// What became of one cluster of an import.
#[derive(Clone, Debug)]
pub enum ImportOutcome {
    /// Registered anew.
    Created(ClusterId),
    /// Its spec changed.
    Updated(ClusterId),
    /// It was registered like this already.
    Unchanged(ClusterId),
    /// Neither; the others are not affected.
    Failed(WriteError),
}

/// One cluster of an import.
#[derive(Clone, Debug)]
pub struct ImportItem {
    /// Its name, as far as one was given.
    pub name: Option<String>,
    /// What became of it.
    pub outcome: ImportOutcome,
}

enum Plan {
    Create(Box<Spec>),
    Update(ClusterId, Map<String, Value>),
    Failed(WriteError),
}

impl Registration {
    /// Registers or changes many clusters. Answers with one item for each, in order.
    ///
    /// # Errors
    /// [`WriteError::Unavailable`] when the store took none of them.
    pub async fn import(
        self: &Arc<Self>,
        clusters: Vec<Map<String, Value>>,
        by: Author,
    ) -> Result<Vec<ImportItem>, WriteError> {
        let this = Arc::clone(self);
        self.detached(async move { this.import_now(clusters, &by).await }).await
    }

    async fn import_now(&self, clusters: Vec<Map<String, Value>>, by: &Author) -> Result<Vec<ImportItem>, WriteError> {
        let mut names: Vec<Option<String>> = clusters.iter().map(name_of).collect();
        let mut outcomes: Vec<Option<ImportOutcome>> = (0..clusters.len()).map(|_| None).collect();
        let (mut creates, mut updates) = (Vec::new(), Vec::new());
        for (index, plan) in self.plan(clusters, by).into_iter().enumerate() {
            match plan {
                Plan::Create(spec) => creates.push((index, *spec)),
                Plan::Update(id, fields) => updates.push((index, id, fields)),
                Plan::Failed(error) => outcomes[index] = Some(ImportOutcome::Failed(error)),
            }
        }
        let mut down = None;
        for batch in creates.chunks(BATCH) {
            self.create_batch(batch.to_vec(), by, &mut outcomes, &mut down).await;
        }
        for (index, id, fields) in updates {
            names[index] = self.board.get(id).map(|entry| entry.cluster.name.clone()).or(names[index].take());
            outcomes[index] = Some(self.update_one(id, fields, by, &mut down).await);
        }
        conclude(names, outcomes, down)
    }

    fn plan(&self, clusters: Vec<Map<String, Value>>, by: &Author) -> Vec<Plan> {
        let known = source::known(&self.board, clusters.iter().map(source::of));
        let (mut names, mut sources) = (HashSet::new(), HashSet::new());
        let mut plan = |item: Map<String, Value>| {
            if let Some(source) = source::of(&item)
                && !sources.insert(source.to_owned())
            {
                return Plan::Failed(Invalid::one("source", "occurs twice in this import").into());
            }
            match source::of(&item).and_then(|source| known.get(source)) {
                Some(&id) => self.plan_known(id, item, by),
                None => self.plan_one(item, by, &mut names),
            }
        };
        clusters.into_iter().map(&mut plan).collect()
    }

    /// One whose source is known: its cluster, whatever the name became.
    fn plan_known(&self, id: ClusterId, mut item: Map<String, Value>, by: &Author) -> Plan {
        item.remove("name");
        match self.board.get(id).filter(|entry| by.reaches(&entry.cluster)) {
            Some(_) => Plan::Update(id, item),
            None => Plan::Failed(WriteError::OutOfScope),
        }
    }

    fn plan_one(&self, map: Map<String, Value>, by: &Author, seen: &mut HashSet<String>) -> Plan {
        if let Some(Value::String(name)) = map.get("name")
            && !seen.insert(name.clone())
        {
            return Plan::Failed(Invalid::one("name", "occurs twice in this import").into());
        }
        let known = map.get("name").and_then(Value::as_str).and_then(|name| self.board.by_name(name));
        match known {
            Some(entry) if by.reaches(&entry.cluster) => {
                let Cluster { id, name, source, api_server_url, .. } = &*entry.cluster;
                match claim(&map, name, source.as_deref(), api_server_url) {
                    Ok(()) => Plan::Update(*id, map),
                    Err(foreign) => Plan::Failed(foreign.into()),
                }
            }
            Some(entry) => Plan::Failed(WriteError::NameTaken(entry.cluster.name.clone())),
            None => match Spec::read(map) {
                Err(invalid) => Plan::Failed(invalid.into()),
                Ok(spec) if by.reaches(&spec.clone().enrol(self.now(), None)) => Plan::Create(Box::new(spec)),
                Ok(_) => Plan::Failed(WriteError::OutOfScope),
            },
        }
    }

    /// Stores a batch in one transaction. A name that turns out to be taken is left out and the rest tried again.
    async fn create_batch(
        &self,
        mut batch: Vec<(usize, Spec)>,
        by: &Author,
        outcomes: &mut [Option<ImportOutcome>],
        down: &mut Option<WriteError>,
    ) {
        while !batch.is_empty() && down.is_none() {
            match self.try_batch(&batch, by).await {
                Ok(ids) => {
                    for (index, spec) in batch {
                        outcomes[index] = ids.get(&spec.name).map(|id| ImportOutcome::Created(*id));
                    }
                    return;
                }
                Err(WriteError::NameTaken(name)) if batch.iter().any(|(_, spec)| spec.name == name) => {
                    let taken = |(_, spec): &mut (usize, Spec)| spec.name == name;
                    for (index, spec) in batch.extract_if(.., taken) {
                        outcomes[index] = Some(ImportOutcome::Failed(WriteError::NameTaken(spec.name)));
                    }
                }
                Err(error) => *down = Some(error),
            }
        }
        for (index, _) in batch {
            outcomes[index] = down.clone().map(ImportOutcome::Failed);
        }
    }

    async fn try_batch(&self, batch: &[(usize, Spec)], by: &Author) -> Result<HashMap<String, ClusterId>, WriteError> {
        let turn = self.turn().await?;
        let sources = source::known(&self.board, batch.iter().map(|(_, spec)| spec.source.as_deref()));
        let is_taken = |spec: &Spec| {
            self.board.by_name(&spec.name).is_some()
                || spec.source.as_ref().is_some_and(|key| sources.contains_key(key))
        };
        if let Some((_, spec)) = batch.iter().find(|(_, spec)| is_taken(spec)) {
            return Err(WriteError::NameTaken(spec.name.clone()));
        }
        let now = self.now();
        let mut pen = self.outbox.pen(turn.left()).await?;
        let mut rows = Vec::with_capacity(batch.len());
        let mut events = Vec::with_capacity(batch.len());
        let mut audit = Vec::with_capacity(batch.len());
        for (_, spec) in batch {
            let cluster = Arc::new(spec.clone().enrol(now, by.who.clone()));
            events.push(pen.write(registered(&cluster, now))?);
            audit.push(created(Action::ClusterImport, &cluster, by));
            rows.push((cluster, Status::unknown(now)));
        }
        let ids: Vec<_> = rows.iter().map(|(cluster, _)| cluster.id).collect();
        let done: Result<(), StoreError> = turn.store(self.store.insert(&rows, &events, &audit)).await;
        self.settle(pen, done, &ids)?;
        tracing::info!(clusters = rows.len(), "clusters registered by an import");
        for (cluster, _) in &rows {
            self.show_new(cluster);
            self.engine.poke(cluster.id);
        }
        Ok(rows.iter().map(|(cluster, _)| (cluster.name.clone(), cluster.id)).collect())
    }

    async fn update_one(
        &self,
        id: ClusterId,
        fields: Map<String, Value>,
        by: &Author,
        down: &mut Option<WriteError>,
    ) -> ImportOutcome {
        if let Some(error) = down {
            return ImportOutcome::Failed(error.clone());
        }
        match self.change_now(id, Change::Fields(fields), None, by, Action::ClusterImport).await {
            Ok(written) if written.changed => ImportOutcome::Updated(id),
            Ok(_) => ImportOutcome::Unchanged(id),
            Err(error) => {
                if matches!(error, WriteError::Unavailable { .. }) {
                    *down = Some(error.clone());
                }
                ImportOutcome::Failed(error)
            }
        }
    }
}

fn name_of(cluster: &Map<String, Value>) -> Option<String> {
    let name = cluster.get("name")?.as_str()?;
    Some(name.chars().take(64).filter(|c| !c.is_control()).collect())
}

fn conclude(
    names: Vec<Option<String>>,
    outcomes: Vec<Option<ImportOutcome>>,
    down: Option<WriteError>,
) -> Result<Vec<ImportItem>, WriteError> {
    let did = |outcome: &Option<ImportOutcome>| !matches!(outcome, None | Some(ImportOutcome::Failed(_)));
    if let Some(error @ WriteError::Unavailable { .. }) = down
        && !outcomes.iter().any(did)
    {
        return Err(error);
    }
    let outcome = |outcome: Option<ImportOutcome>| outcome.unwrap_or(ImportOutcome::Failed(WriteError::Internal));
    Ok(names.into_iter().zip(outcomes).map(|(name, done)| ImportItem { name, outcome: outcome(done) }).collect())
}
