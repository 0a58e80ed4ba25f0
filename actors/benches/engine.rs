//! What one check costs the engine without I/O: the health machine's step, the board's writes and reads, the outbox.

use std::{hint::black_box, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use criterion::{BatchSize, Criterion};
use fleetbeat_actors::{
    board::{Board, Entry},
    event::{EventDraft, EventType},
    health::{Beat, Cause, CheckReport, Failure, Input, Machine, Moment, Outcome, State, Status, Trust},
    outbox::Outbox,
    roll::ClusterId,
    target::Policy,
    testing::{TestClock, clusters, instant},
};

const FLEET: usize = 10_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(30);
    machine(&mut criterion);
    board(&mut criterion);
    outbox(&mut criterion);
    criterion.final_summary();
}

fn wall() -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(1_800_000_000_000_000_000)
}

fn report(api_server: Outcome) -> CheckReport {
    CheckReport { api_server, prometheus: None, tempo: None, loki: None, authenticated: false, fresh: false }
}

/// A wake when it is due and its report, for ever.
struct Round {
    machine: Machine,
    at: Moment,
    answers: [CheckReport; 2],
    turn: usize,
}

impl Round {
    fn new(answers: [CheckReport; 2]) -> Self {
        let policy = Policy::default();
        let at = Moment {
            now: instant(),
            wall: wall(),
            beat: Beat { anchor: instant(), every: Duration::from_millis(250) },
        };
        let machine = Machine::new(&policy, policy.spoke, 1, Status::unknown(at.wall), 7, at, true);
        Self { machine, at, answers, turn: 0 }
    }

    fn check(&mut self) {
        let started = self.machine.step(self.at, Input::Wake(Trust::Sure));
        let check = started.start.expect("it is woken when it asked to be");
        let report = &self.answers[self.turn % 2];
        self.turn += 1;
        let input = Input::Reported { number: check.number, report, trust: Trust::Sure };
        let effects = black_box(self.machine.step(self.at, input));
        let next = effects.wake_at.expect("after a report it asks to be woken");
        self.at.wall += next - self.at.now;
        self.at.now = next;
    }
}

fn machine(criterion: &mut Criterion) {
    let healthy = report(Outcome::Healthy { latency: Duration::from_millis(3) });
    let refused = report(Outcome::failed(Failure::of(Cause::Refused), Duration::from_millis(1)));
    let mut well = Round::new([healthy, healthy]);
    criterion.bench_function("machine/a healthy check", |bench| bench.iter(|| well.check()));
    let mut odd = Round::new([healthy, refused]);
    criterion.bench_function("machine/every other check fails", |bench| bench.iter(|| odd.check()));
}

fn furnished() -> (Board, Vec<ClusterId>) {
    let board = Board::default();
    let fleet = clusters(FLEET);
    for cluster in &fleet {
        board.put(Entry {
            cluster: Arc::clone(cluster),
            status: Arc::new(Status::unknown(wall())),
            checked: instant(),
            fresh_for: Duration::from_secs(70),
        });
    }
    (board, fleet.iter().map(|cluster| cluster.id).collect())
}

fn board(criterion: &mut Criterion) {
    let (board, ids) = furnished();
    let status = Arc::new(Status::unknown(wall()));
    let mut next = ids.iter().cycle();
    let mut id = move || *next.next().expect("a cycle has no end");
    let fresh_for = Duration::from_secs(70);
    criterion.bench_function("board/show", |bench| {
        bench.iter(|| board.show(id(), Arc::clone(&status), None, fresh_for));
    });
    let mut next = ids.iter().cycle();
    criterion.bench_function("board/get", |bench| bench.iter(|| next.next().and_then(|id| board.get(*id))));
    criterion.bench_function("board/summary of 10,000", |bench| {
        bench.iter(|| {
            let mut online = 0;
            board.each(|entry| online += usize::from(entry.status.state == State::Online));
            online
        });
    });
    criterion.bench_function("board/filtered list of 10,000 in order", |bench| {
        bench.iter(|| {
            let mut found = Vec::new();
            board.each(|entry| {
                if entry.cluster.name.ends_with('7') {
                    found.push(entry.clone());
                }
            });
            found
        });
    });
}

fn outbox(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let id = ClusterId::generate();
    let outbox = Outbox::new(Arc::new(TestClock::default()), 0, [(id, 0)]);
    let draft = || EventDraft::new(EventType::ClusterUpdated, id, wall(), serde_json::json!({"cluster_id": id}));
    let write = async |drafts: Vec<EventDraft>| {
        let mut pen = outbox.pen(Duration::from_secs(1)).await.expect("nobody else writes");
        for draft in drafts {
            pen.write(draft).expect("no doubts");
        }
        pen.commit();
    };
    criterion.bench_function("outbox/100 events written", |bench| {
        let drafts = || (0..100).map(|_| draft()).collect();
        bench.iter_batched(drafts, |drafts| runtime.block_on(write(drafts)), BatchSize::SmallInput);
    });
    let head = *outbox.head().borrow();
    runtime.block_on(write((0..100).map(|_| draft()).collect()));
    criterion.bench_function("outbox/100 events read", |bench| bench.iter(|| outbox.after(head, 100)));
}
