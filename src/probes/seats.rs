//! Seats: which connections are kept between checks when there are more lines than descriptors. Those with the shortest
//! period come first; within one period, whoever comes first.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fleetbeat_actors::health::NotRun;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::deadline::permit;

/// Of the lines without a seat so many may have a connection at the same time: a deadline is at most a third of a period.
const GUESTS_SHARE: usize = 3;
/// This part of the descriptors is never kept, whatever the number of lines.
const SPARE_SHARE: usize = 16;

/// The descriptors of all lines, and the seats among them.
#[derive(Debug)]
pub(super) struct Seats {
    descriptors: Arc<Semaphore>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    descriptors: usize,
    lines: usize,
    taken: usize,
    by_period: BTreeMap<Duration, Tier>,
}

/// The lines of one period.
#[derive(Debug, Default)]
struct Tier {
    lines: usize,
    taken: usize,
}

impl Seats {
    /// For lines that have so many descriptors together.
    pub(super) fn new(descriptors: usize) -> Arc<Self> {
        let inner = Mutex::new(Inner { descriptors, ..Inner::default() });
        Arc::new(Self { descriptors: Arc::new(Semaphore::new(descriptors)), inner })
    }

    /// A descriptor for a new connection, which has no seat yet.
    pub(super) async fn place(&self, wait: Duration) -> Result<Place, NotRun> {
        let descriptor = permit(&self.descriptors, wait, NotRun::NoDescriptor).await?;
        Ok(Place { seat: None, _descriptor: descriptor })
    }

    /// Seats taken now.
    pub(super) fn taken(&self) -> usize {
        self.inner.lock().taken
    }

    /// Counts a line that is checked every `period`.
    pub(super) fn claim(self: &Arc<Self>, period: Duration) -> Claim {
        self.inner.lock().enter(period);
        Claim { seats: Arc::clone(self), period }
    }
}

impl Inner {
    fn tier(&mut self, period: Duration) -> &mut Tier {
        self.by_period.entry(period).or_default()
    }

    fn enter(&mut self, period: Duration) {
        self.lines += 1;
        self.tier(period).lines += 1;
    }

    fn leave(&mut self, period: Duration) {
        self.lines -= 1;
        self.tier(period).lines -= 1;
        self.tidy(period);
    }

    fn sit(&mut self, period: Duration) {
        self.taken += 1;
        self.tier(period).taken += 1;
    }

    fn rise(&mut self, period: Duration) {
        self.taken -= 1;
        self.tier(period).taken -= 1;
        self.tidy(period);
    }

    fn tidy(&mut self, period: Duration) {
        if self.by_period.get(&period).is_some_and(|tier| tier.lines == 0 && tier.taken == 0) {
            self.by_period.remove(&period);
        }
    }

    /// Seats for all lines: every descriptor, but for those that lines without a seat need.
    fn total(&self) -> usize {
        seats_of(self.descriptors, self.lines)
    }

    /// Seats for the lines of `period`: what those with shorter periods leave.
    fn share(&self, period: Duration) -> usize {
        let total = self.total();
        if self.lines <= total {
            return total;
        }
        let sooner: usize = self.by_period.range(..period).map(|(_, tier)| tier.lines).sum();
        total.saturating_sub(sooner)
    }

    fn taken_at(&self, period: Duration) -> usize {
        self.by_period.get(&period).map_or(0, |tier| tier.taken)
    }
}

/// How many of `descriptors` may be kept by `lines`, so that those which keep none find one when many of them fail at
/// the same time.
fn seats_of(descriptors: usize, lines: usize) -> usize {
    let spare = descriptors.div_ceil(SPARE_SHARE);
    // Of s seats, (lines - s) / 3 descriptors are left to the others: s + (lines - s) / 3 = descriptors.
    let fair = (GUESTS_SHARE * descriptors).saturating_sub(lines) / (GUESTS_SHARE - 1);
    fair.max(descriptors - descriptors.div_ceil(4)).min(descriptors - spare)
}

/// A descriptor in use by one connection, with a seat where it may be kept.
#[derive(Debug)]
pub(super) struct Place {
    seat: Option<Seat>,
    _descriptor: OwnedSemaphorePermit,
}

impl Place {
    /// Takes a seat of the line's, if there is one. Is there?
    pub(super) fn sit(&mut self, claim: &Claim) -> bool {
        self.seat = claim.take();
        self.seat.is_some()
    }

    /// May the connection be kept?
    pub(super) fn may_be_kept(&self) -> bool {
        self.seat.as_ref().is_some_and(|seat| !seat.is_wanted())
    }

    /// Its line is now checked every `period`.
    pub(super) fn retune(&mut self, period: Duration) {
        if let Some(seat) = &mut self.seat {
            seat.retune(period);
        }
    }
}

/// One line's rank among all. Dropping it gives it up.
#[derive(Debug)]
pub(super) struct Claim {
    seats: Arc<Seats>,
    period: Duration,
}

impl Claim {
    /// A seat, if this line may keep a connection now.
    fn take(&self) -> Option<Seat> {
        let mut inner = self.seats.inner.lock();
        let free = inner.taken < inner.total() && inner.taken_at(self.period) < inner.share(self.period);
        free.then(|| {
            inner.sit(self.period);
            Seat { seats: Arc::clone(&self.seats), period: self.period }
        })
    }

    /// From now on the line is checked every `period`.
    pub(super) fn retune(&mut self, period: Duration) {
        if self.period != period {
            let mut inner = self.seats.inner.lock();
            inner.enter(period);
            inner.leave(self.period);
            self.period = period;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.seats.inner.lock().leave(self.period);
    }
}

/// The right to keep one connection. Dropping it frees it for another.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    period: Duration,
}

impl Seat {
    /// Must it be given up for a line that is checked more often?
    fn is_wanted(&self) -> bool {
        let inner = self.seats.inner.lock();
        inner.taken_at(self.period) > inner.share(self.period)
    }

    fn retune(&mut self, period: Duration) {
        if self.period != period {
            let mut inner = self.seats.inner.lock();
            inner.sit(period);
            inner.rise(self.period);
            self.period = period;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.inner.lock().rise(self.period);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: Duration = Duration::from_secs(15);
    const EDGE: Duration = Duration::from_secs(60);

    fn with_seats(seats: usize) -> Arc<Seats> {
        Seats::new(seats + 1)
    }

    fn claims(seats: &Arc<Seats>, period: Duration, count: usize) -> Vec<Claim> {
        (0..count).map(|_| seats.claim(period)).collect()
    }

    fn take(claims: &[Claim]) -> Vec<Seat> {
        claims.iter().filter_map(Claim::take).collect()
    }

    #[test]
    fn every_line_keeps_its_connection_while_there_is_room() {
        let seats = with_seats(5);
        let mut lines = claims(&seats, EDGE, 3);
        lines.extend(claims(&seats, HUB, 2));
        let kept = take(&lines);
        assert_eq!((kept.len(), seats.taken()), (5, 5));
        assert!(kept.iter().all(|seat| !seat.is_wanted()));
    }

    #[test]
    fn within_one_period_whoever_comes_first_keeps() {
        let seats = with_seats(3);
        let lines = claims(&seats, HUB, 5);
        let mut kept = take(&lines);
        assert_eq!(kept.len(), 3);
        assert!(kept.iter().all(|seat| !seat.is_wanted()));
        drop(kept.pop());
        assert!(lines[4].take().is_some());
    }

    #[test]
    fn a_shorter_period_makes_a_longer_one_give_up() {
        let seats = with_seats(4);
        let edges = claims(&seats, EDGE, 4);
        let mut kept = take(&edges);
        let hubs = claims(&seats, HUB, 3);
        assert!(hubs[0].take().is_none(), "all seats are taken");
        while kept.last().is_some_and(Seat::is_wanted) {
            kept.pop();
        }
        assert_eq!(kept.len(), 1, "as many as the others want, and no more");
        assert_eq!(take(&hubs).len(), 3);
        assert!(!kept[0].is_wanted());
    }

    #[test]
    fn seats_return_when_lines_leave() {
        let seats = with_seats(2);
        let hubs = claims(&seats, HUB, 2);
        let edge = seats.claim(EDGE);
        assert!(edge.take().is_none(), "both belong to the hubs");
        drop(hubs);
        let seat = edge.take().expect("free again");
        drop(edge);
        drop(seat);
        assert_eq!(seats.taken(), 0);
        assert!(seats.inner.lock().by_period.is_empty());
    }

    #[test]
    fn a_retuned_line_moves_to_its_new_period() {
        let seats = with_seats(1);
        let mut edge = seats.claim(EDGE);
        let mut seat = edge.take().expect("free");
        let _hub = seats.claim(HUB);
        assert!(seat.is_wanted());
        let shorter = Duration::from_secs(5);
        edge.retune(shorter);
        seat.retune(shorter);
        assert!(!seat.is_wanted());
    }

    #[test]
    fn lines_without_a_seat_find_a_descriptor_when_a_third_of_them_hang() {
        for (descriptors, lines) in
            [(18_720, 2_000), (18_720, 20_000), (18_720, 22_000), (18_720, 60_000), (128, 300), (1, 9)]
        {
            let seats = seats_of(descriptors, lines);
            let others = lines.saturating_sub(seats).div_ceil(3);
            let enough = seats + others <= descriptors + 1 || seats == descriptors - descriptors.div_ceil(4);
            assert!(enough && seats < descriptors, "{descriptors} descriptors, {lines} lines: {seats} seats");
        }
        assert_eq!(
            [2_000, 20_000, 22_000, 60_000].map(|lines| seats_of(18_720, lines)),
            [17_550, 17_550, 17_080, 14_040]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_more_than_there_are_descriptors_waits_and_is_then_not_run() {
        let seats = Seats::new(2);
        let claim = seats.claim(HUB);
        let mut kept = seats.place(Duration::ZERO).await.expect("free");
        assert!(kept.sit(&claim) && kept.may_be_kept());
        let mut guest = seats.place(Duration::ZERO).await.expect("free");
        assert!(!guest.sit(&seats.claim(EDGE)) && !guest.may_be_kept());
        assert_eq!(seats.place(Duration::from_secs(1)).await.err(), Some(NotRun::NoDescriptor));
        drop(guest);
        assert!(seats.place(Duration::ZERO).await.is_ok());
    }

    #[test]
    fn without_seats_nobody_keeps() {
        let seats = with_seats(0);
        assert!(seats.claim(HUB).take().is_none());
    }
}
