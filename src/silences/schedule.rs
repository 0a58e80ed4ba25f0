//! When a silence holds: one window, or one that repeats by an RRULE (RFC 5545) on the clocks of a time zone. Pure.
//!
//! A repeated window begins at the same local time and lasts as long as the first one. Where clocks skip that time, it begins
//! that much later; where they show it twice, it begins at the first.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use chrono_tz::Tz;
use rrule::{Frequency, RRule, RRuleSet, Unvalidated};

use crate::history::Window;

/// Longest window.
pub const MAX_LENGTH: TimeDelta = TimeDelta::days(366);
/// Longest window that repeats.
const MAX_REPEATED: TimeDelta = TimeDelta::days(31);
/// How far ahead repeated windows are worked out. Every rule that is accepted shows up within it.
pub const HORIZON: TimeDelta = TimeDelta::days(400);
/// How far from the present a schedule may begin: the walk to the present stays short.
const MAX_AWAY: TimeDelta = TimeDelta::days(5 * 366);
/// Years that can be said at all.
const YEARS: RangeInclusive<i32> = 1970..=2199;
/// Most occurrences that are looked at: daily for thirty years.
const MAX_OCCURRENCES: usize = 11_000;
/// Longest text of a rule, bytes.
const MAX_RULE: usize = 256;
/// What a rule may say. Times of day come from the first window.
const PARTS: [&str; 8] = ["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "WKST"];

/// What is wrong with a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Wrong {
    /// In which field.
    pub field: &'static str,
    /// In words.
    pub message: String,
}

impl Wrong {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

/// When a silence holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The first window.
    pub first: Window,
    /// How it repeats, as it was written.
    pub rrule: Option<String>,
    /// By whose clocks it repeats: a name of the IANA database.
    pub time_zone: String,
    rule: Option<RRuleSet>,
}

impl Schedule {
    /// Understands a schedule.
    ///
    /// # Errors
    /// What is wrong with it, whenever it is read.
    pub fn read(first: Window, rrule: Option<String>, time_zone: String) -> Result<Self, Wrong> {
        for (field, time) in [("starts_at", first.from), ("ends_at", first.to)] {
            if !YEARS.contains(&time.year()) {
                return Err(Wrong::new(field, format!("must be from {} to {}", YEARS.start(), YEARS.end())));
            }
        }
        if first.to <= first.from {
            return Err(Wrong::new("ends_at", "must be after starts_at"));
        }
        if first.to - first.from > MAX_LENGTH {
            return Err(Wrong::new(
                "ends_at",
                format!("must be at most {} days after starts_at", MAX_LENGTH.num_days()),
            ));
        }
        let zone: Tz =
            time_zone.parse().map_err(|_| Wrong::new("time_zone", "must be a time zone like Europe/Berlin"))?;
        let rule = rrule.as_deref().map(|text| rule(text, first, zone)).transpose()?;
        Ok(Self { first, rrule, time_zone, rule })
    }

    /// Is it worth keeping at `now`? Asked once, of a new one.
    ///
    /// # Errors
    /// When all of it is past, or it begins too far away.
    pub fn check_new(&self, now: DateTime<Utc>) -> Result<(), Wrong> {
        if self.first.from < now - MAX_AWAY || self.first.from > now + MAX_AWAY {
            return Err(Wrong::new("starts_at", "must be within five years"));
        }
        let begin = now.max(self.first.from);
        match (&self.rule, self.windows(Window { from: now, to: begin + HORIZON }).is_empty()) {
            (_, false) => Ok(()),
            (None, true) => Err(Wrong::new("ends_at", "must be in the future")),
            (Some(_), true) => Err(Wrong::new("rrule", format!("must come about within {} days", HORIZON.num_days()))),
        }
    }

    /// The windows that overlap `stretch`, whole, in order, those that touch joined.
    pub fn windows(&self, stretch: Window) -> Vec<Window> {
        let length = self.first.to - self.first.from;
        let window = |from: DateTime<Utc>| Window { from, to: from + length };
        let overlaps = |window: &Window| window.to > stretch.from && window.from < stretch.to;
        let Some(rule) = &self.rule else { return Some(self.first).filter(overlaps).into_iter().collect() };
        let mut joined: Vec<Window> = Vec::new();
        let begins = rule.into_iter().take(MAX_OCCURRENCES).map(|at| at.to_utc()).take_while(|at| *at < stretch.to);
        for next in begins.map(window).filter(overlaps) {
            match joined.last_mut() {
                Some(last) if next.from <= last.to => last.to = last.to.max(next.to),
                _ => joined.push(next),
            }
        }
        joined
    }

    /// Does it go on for ever?
    pub fn is_endless(&self) -> bool {
        let ends = |rule: &RRule| rule.get_count().is_some() || rule.get_until().is_some();
        self.rule.as_ref().is_some_and(|set| !set.get_rrule().iter().all(ends))
    }
}

fn rule(text: &str, first: Window, zone: Tz) -> Result<RRuleSet, Wrong> {
    let wrong = |message: String| Wrong::new("rrule", message);
    if text.len() > MAX_RULE {
        return Err(wrong(format!("must have at most {MAX_RULE} characters")));
    }
    if first.to - first.from > MAX_REPEATED {
        let message = format!("must be at most {} days after starts_at where it repeats", MAX_REPEATED.num_days());
        return Err(Wrong::new("ends_at", message));
    }
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=;,+-".contains(&byte)) {
        return Err(wrong("must have letters, digits and =;,+- only".to_owned()));
    }
    for part in text.split(';') {
        let name = part.split_once('=').map(|(name, _)| name).unwrap_or_default();
        if !PARTS.contains(&name) {
            return Err(wrong(format!("must have parts NAME=value, of {}", PARTS.join(", "))));
        }
    }
    let parsed: RRule<Unvalidated> = text.parse().map_err(|_| wrong("cannot be understood".to_owned()))?;
    let most = match parsed.get_freq() {
        Frequency::Daily => 366,
        Frequency::Weekly => 52,
        Frequency::Monthly => 12,
        Frequency::Yearly => 1,
        Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => 0,
    };
    if !(1..=most).contains(&parsed.get_interval()) {
        return Err(wrong("must repeat DAILY, WEEKLY, MONTHLY or YEARLY, at least once a year".to_owned()));
    }
    let begin = first.from.with_timezone(&rrule::Tz::from(zone));
    let set = parsed.build(begin).map_err(|error| wrong(format!("does not fit: {error}")))?;
    Ok(set.limit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn window(from: &str, to: &str) -> Window {
        Window { from: at(from), to: at(to) }
    }

    fn repeated(from: &str, to: &str, rrule: &str, zone: &str) -> Result<Schedule, Wrong> {
        Schedule::read(window(from, to), Some(rrule.to_owned()), zone.to_owned())
    }

    fn begins(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
        let windows = schedule.windows(window(from, to));
        windows.iter().map(|window| window.from.format("%m-%dT%H:%MZ").to_string()).collect()
    }

    #[test]
    fn one_window_is_one_window() {
        let once = Schedule::read(window("2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z"), None, "UTC".to_owned());
        let once = once.expect("a schedule");
        assert_eq!(once.windows(window("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")), [once.first]);
        assert!(once.windows(window("2026-03-01T12:00:00Z", "2027-01-01T00:00:00Z")).is_empty(), "its end is outside");
        assert!(once.windows(window("2026-01-01T00:00:00Z", "2026-03-01T10:00:00Z")).is_empty());
        assert!(!once.is_endless());
    }

    #[test]
    fn a_nightly_window_keeps_its_local_time_when_the_clocks_change() {
        // Berlin goes to summer time on 2026-03-29.
        let nightly = repeated("2026-03-27T21:00:00Z", "2026-03-27T23:00:00Z", "FREQ=DAILY", "Europe/Berlin");
        let begins = begins(&nightly.expect("a schedule"), "2026-03-27T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(begins, ["03-27T21:00Z", "03-28T21:00Z", "03-29T20:00Z", "03-30T20:00Z"]);
    }

    #[test]
    fn a_local_time_that_is_skipped_begins_later_and_one_shown_twice_begins_first() {
        // 02:30 in Berlin: skipped on 2026-03-29, shown twice on 2026-10-25.
        let nightly = repeated("2026-03-28T01:30:00Z", "2026-03-28T02:30:00Z", "FREQ=DAILY", "Europe/Berlin");
        let nightly = nightly.expect("a schedule");
        let spring = begins(&nightly, "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(spring, ["03-28T01:30Z", "03-29T01:30Z", "03-30T00:30Z"]);
        let autumn = begins(&nightly, "2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(autumn, ["10-24T00:30Z", "10-25T00:30Z", "10-26T01:30Z"]);
    }

    #[test]
    fn a_window_over_midnight_is_one_and_as_long_as_ever_when_the_clocks_change_within_it() {
        let nights = |from, to| repeated(from, to, "FREQ=WEEKLY;BYDAY=SA", "Europe/Berlin").expect("a schedule");
        // Saturdays from 22:00 to 06:00 by the clocks of Berlin; in the night to 2026-03-29 they skip from 02:00 to 03:00.
        let spring = nights("2026-03-21T21:00:00Z", "2026-03-22T05:00:00Z");
        let windows = spring.windows(window("2026-03-28T00:00:00Z", "2026-04-05T12:00:00Z"));
        let expected = [
            window("2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z"),
            window("2026-04-04T20:00:00Z", "2026-04-05T04:00:00Z"),
        ];
        assert_eq!(windows, expected, "to 07:00 in the short night, to 06:00 again in the next");
        let in_it = |at| spring.windows(window(at, "2026-03-29T12:00:00Z")).len();
        assert_eq!((in_it("2026-03-29T04:59:59Z"), in_it("2026-03-29T05:00:00Z")), (1, 0));
        // In the night to 2026-10-25 they show the hour from 02:00 twice.
        let autumn = nights("2026-10-17T20:00:00Z", "2026-10-18T04:00:00Z");
        let windows = autumn.windows(window("2026-10-24T00:00:00Z", "2026-11-01T12:00:00Z"));
        let expected = [
            window("2026-10-24T20:00:00Z", "2026-10-25T04:00:00Z"),
            window("2026-10-31T21:00:00Z", "2026-11-01T05:00:00Z"),
        ];
        assert_eq!(windows, expected, "to 05:00 in the long night");
    }

    #[test]
    fn rules_count_end_and_choose_their_days() {
        let year = ("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        let begins = |rrule: &str| {
            let schedule = repeated("2026-01-03T02:00:00Z", "2026-01-03T04:00:00Z", rrule, "UTC").expect(rrule);
            (begins(&schedule, year.0, year.1).len(), schedule.is_endless())
        };
        assert_eq!(begins("FREQ=DAILY;COUNT=5"), (5, false));
        assert_eq!(begins("FREQ=DAILY;UNTIL=20260110T000000Z"), (7, false));
        assert_eq!(begins("FREQ=WEEKLY;BYDAY=SA,SU"), (104, true));
        assert_eq!(begins("FREQ=MONTHLY;BYDAY=1SU"), (12, true));
        assert_eq!(begins("FREQ=MONTHLY;BYMONTHDAY=31"), (7, true));
        assert_eq!(begins("FREQ=YEARLY"), (1, true));
    }

    #[test]
    fn windows_that_touch_are_one() {
        let all_day = repeated("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "FREQ=DAILY;COUNT=3", "UTC");
        let windows = all_day.expect("a schedule").windows(window("2025-01-01T00:00:00Z", "2027-01-01T00:00:00Z"));
        assert_eq!(windows, [window("2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z")]);
    }

    #[test]
    fn nonsense_is_refused_and_names_its_field() {
        let (from, to) = ("2026-01-03T02:00:00Z", "2026-01-03T04:00:00Z");
        for bad in [
            "",
            "nonsense",
            "FREQ=",
            "FREQ=NEVER",
            "FREQ=HOURLY",
            "FREQ=SECONDLY;COUNT=1",
            "INTERVAL=2",
            "FREQ=DAILY;BYHOUR=1,2",
            "FREQ=DAILY;BYEASTER=1",
            "FREQ=DAILY;INTERVAL=0",
            "FREQ=DAILY;INTERVAL=1000",
            "FREQ=YEARLY;INTERVAL=2",
            "FREQ=DAILY\nRRULE:FREQ=DAILY",
            "FREQ=DAILY;;",
            "FREQ=MONTHLY;BYMONTHDAY=32",
            "FREQ=DAILY;UNTIL=20200101T000000Z",
        ] {
            assert_eq!(repeated(from, to, bad, "UTC").map_err(|wrong| wrong.field), Err("rrule"), "{bad:?}");
        }
        assert_eq!(repeated(to, from, "FREQ=DAILY", "UTC").expect_err("backwards").field, "ends_at");
        let long = "2026-03-03T02:00:00Z";
        assert_eq!(repeated(from, long, "FREQ=DAILY", "UTC").expect_err("too long").field, "ends_at");
        for zone in ["", "Nowhere/City", "CEST+2", "../etc/passwd"] {
            assert_eq!(repeated(from, to, "FREQ=DAILY", zone).expect_err(zone).field, "time_zone");
        }
    }

    #[test]
    fn what_is_past_or_never_comes_is_not_worth_keeping() {
        let now = at("2026-06-01T00:00:00Z");
        let past = Schedule::read(window("2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z"), None, "UTC".to_owned());
        assert_eq!(past.expect("a schedule").check_new(now).expect_err("past").field, "ends_at");
        let check = |rrule: &str| {
            let schedule = repeated("2026-01-03T02:00:00Z", "2026-01-03T04:00:00Z", rrule, "UTC").expect(rrule);
            schedule.check_new(now).map_err(|wrong| wrong.field)
        };
        assert_eq!(check("FREQ=DAILY;COUNT=3"), Err("rrule"));
        assert_eq!(check("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), Err("rrule"));
        assert_eq!(check("FREQ=MONTHLY"), Ok(()));
    }

    fn rules() -> impl Strategy<Value = String> {
        let freq = prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY"]);
        let days = prop::sample::select(vec!["", ";BYDAY=SU", ";BYDAY=MO,TH", ";BYDAY=SA"]);
        (freq, 1_u16..5, days, 0_u16..40).prop_map(|(freq, interval, days, count)| {
            let count = if count == 0 { String::new() } else { format!(";COUNT={count}") };
            format!("FREQ={freq};INTERVAL={interval}{days}{count}")
        })
    }

    fn zones() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
    }

    proptest! {
        #[test]
        fn windows_are_in_order_apart_and_never_shorter_than_the_first(
            rule in rules(), zone in zones(), start in 0_i64..525_600, length in 1_i64..4_000, from in 0_i64..800_000, span in 1_i64..200_000,
        ) {
            let begin = at("2025-01-01T00:00:00Z") + TimeDelta::minutes(start);
            let first = Window { from: begin, to: begin + TimeDelta::minutes(length) };
            let schedule = Schedule::read(first, Some(rule), zone.to_owned()).expect("a schedule");
            let from = at("2025-01-01T00:00:00Z") + TimeDelta::minutes(from);
            let stretch = Window { from, to: from + TimeDelta::minutes(span) };
            let windows = schedule.windows(stretch);
            prop_assert!(windows.windows(2).all(|pair| pair[0].to < pair[1].from));
            for window in &windows {
                prop_assert!(window.to > stretch.from && window.from < stretch.to);
                prop_assert!(window.to - window.from >= TimeDelta::minutes(length) && window.from >= begin);
            }
        }

        #[test]
        fn no_rule_takes_long_or_panics(
            parts in prop::collection::vec((0_usize..PARTS.len(), "[A-Z0-9,+-]{0,6}|DAILY|WEEKLY|MONTHLY|YEARLY|20270101T000000Z"), 0..5),
            start in 0_i64..525_600,
        ) {
            let rule = parts.iter().map(|(part, value)| format!("{}={value}", PARTS[*part])).collect::<Vec<_>>().join(";");
            let begin = at("2026-01-01T00:00:00Z") + TimeDelta::minutes(start);
            let first = Window { from: begin, to: begin + TimeDelta::hours(1) };
            if let Ok(schedule) = Schedule::read(first, Some(rule), "UTC".to_owned()) {
                let windows = schedule.windows(Window { from: begin, to: begin + HORIZON });
                prop_assert!(windows.len() <= 401);
            }
        }

        #[test]
        fn a_longer_look_sees_the_same_windows(
            rule in rules(), zone in zones(), start in 0_i64..525_600, length in 1_i64..600, cut in 1_i64..400,
        ) {
            let begin = at("2025-01-01T00:00:00Z") + TimeDelta::minutes(start);
            let first = Window { from: begin, to: begin + TimeDelta::minutes(length) };
            let schedule = Schedule::read(first, Some(rule), zone.to_owned()).expect("a schedule");
            let (end, middle) = (begin + TimeDelta::days(400), begin + TimeDelta::days(cut));
            let mut parts = schedule.windows(Window { from: begin, to: middle });
            parts.extend(schedule.windows(Window { from: middle, to: end }));
            parts.dedup();
            prop_assert_eq!(parts, schedule.windows(Window { from: begin, to: end }));
        }

        #[test]
        fn every_window_begins_at_the_same_local_time_but_where_clocks_skip_it(
            zone in zones(), start in 0_i64..525_600,
        ) {
            let tz: Tz = zone.parse().expect("a zone");
            let begin = at("2025-01-01T00:00:00Z") + TimeDelta::minutes(start);
            let first = Window { from: begin, to: begin + TimeDelta::minutes(30) };
            let schedule = Schedule::read(first, Some("FREQ=DAILY".to_owned()), zone.to_owned()).expect("a schedule");
            let local = begin.with_timezone(&tz).time();
            let windows = schedule.windows(Window { from: begin, to: begin + TimeDelta::days(366) });
            let moved = windows.iter().filter(|window| window.from.with_timezone(&tz).time() != local).count();
            prop_assert!(windows.len() >= 365 && moved <= 1, "{} windows, {moved} moved", windows.len());
        }
    }
}
