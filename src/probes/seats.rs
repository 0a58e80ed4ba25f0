//! Seats: which connections are kept between checks when there are more lines than descriptors. Those with the shortest
//! period come first; within one period, whoever comes first.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

/// The seats of all lines.
#[derive(Debug)]
pub(super) struct Seats {
    total: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
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
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, inner: Mutex::default() })
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

    /// Seats for the lines of `period`: what those with shorter periods leave.
    fn share(&self, total: usize, period: Duration) -> usize {
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

/// One line's place in the order. Dropping it gives the place up.
#[derive(Debug)]
pub(super) struct Claim {
    seats: Arc<Seats>,
    period: Duration,
}

impl Claim {
    /// A seat, if this line may keep a connection now.
    pub(super) fn take(&self) -> Option<Seat> {
        let mut inner = self.seats.inner.lock();
        let total = self.seats.total;
        let free = inner.taken < total && inner.taken_at(self.period) < inner.share(total, self.period);
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
pub(super) struct Seat {
    seats: Arc<Seats>,
    period: Duration,
}

impl Seat {
    /// Must it be given up for a line that is checked more often?
    pub(super) fn is_wanted(&self) -> bool {
        let inner = self.seats.inner.lock();
        inner.taken_at(self.period) > inner.share(self.seats.total, self.period)
    }

    /// Its line is now checked every `period`.
    pub(super) fn retune(&mut self, period: Duration) {
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

    fn claims(seats: &Arc<Seats>, period: Duration, count: usize) -> Vec<Claim> {
        (0..count).map(|_| seats.claim(period)).collect()
    }

    fn take(claims: &[Claim]) -> Vec<Seat> {
        claims.iter().filter_map(Claim::take).collect()
    }

    #[test]
    fn every_line_keeps_its_connection_while_there_is_room() {
        let seats = Seats::new(5);
        let mut lines = claims(&seats, EDGE, 3);
        lines.extend(claims(&seats, HUB, 2));
        let kept = take(&lines);
        assert_eq!((kept.len(), seats.taken()), (5, 5));
        assert!(kept.iter().all(|seat| !seat.is_wanted()));
    }

    #[test]
    fn within_one_period_whoever_comes_first_keeps() {
        let seats = Seats::new(3);
        let lines = claims(&seats, HUB, 5);
        let mut kept = take(&lines);
        assert_eq!(kept.len(), 3);
        assert!(kept.iter().all(|seat| !seat.is_wanted()));
        drop(kept.pop());
        assert!(lines[4].take().is_some());
    }

    #[test]
    fn a_shorter_period_makes_a_longer_one_give_up() {
        let seats = Seats::new(4);
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
        let seats = Seats::new(2);
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
        let seats = Seats::new(1);
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
    fn without_seats_nobody_keeps() {
        let seats = Seats::new(0);
        assert!(seats.claim(HUB).take().is_none());
    }
}
