//! The report in words and tables.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Checked, Report};

/// The whole report.
pub fn write(report: &Report, pictures: &[&str]) -> String {
    let mut text = format!("# {}\n\n{}\n\n", report.scenario, report.description);
    let promise = report.promise.as_ref().map_or(String::new(), |promise| format!(", promise {promise}"));
    let _ = writeln!(text, "Seed {}{promise}, {}. **{}**\n", report.seed, report.began, outcome(report));
    let _ = writeln!(text, "Run: {}\n", report.run.line());
    if let Some(why) = &report.broken_off {
        let _ = writeln!(text, "## Broken off\n\n```\n{why}\n```\n");
    }
    if !report.limits.is_empty() {
        text.push_str("| figure | limit | measured | |\n|---|---|---|---|\n");
        report.limits.iter().for_each(|limit| text.push_str(&row(limit)));
        text.push('\n');
    }
    if !report.findings.is_empty() {
        text.push_str("## What was wrong\n\n");
        report.findings.iter().for_each(|finding| text.push_str(&format!("- {finding}\n")));
        text.push('\n');
    }
    for name in pictures {
        let _ = writeln!(text, "![{name}]({name}.svg)");
    }
    text.push_str("\n## Every figure\n\n| figure | value |\n|---|---|\n");
    for (name, value) in &report.figures {
        let _ = writeln!(text, "| {name} | {} |", number(*value));
    }
    text
}

/// A few lines for a terminal.
pub fn summary(report: &Report) -> String {
    let mut text = format!("{} (seed {}): {}\n", report.scenario, report.seed, outcome(report));
    for limit in &report.limits {
        let sign = match (limit.kept, limit.skipped) {
            (true, _) => "ok  ",
            (false, true) => "skip",
            (false, false) => "MISS",
        };
        let _ = writeln!(text, "  {sign} {:<38} {:>14}  ({})", limit.figure, value(limit), limit.limit);
    }
    report.findings.iter().take(10).for_each(|finding| text.push_str(&format!("  ! {finding}\n")));
    if !report.passed() {
        text.push_str(&machine(&report.figures));
    }
    text
}

/// What the machine gave, for who wonders why a limit was missed.
fn machine(figures: &BTreeMap<String, f64>) -> String {
    let of_it = ["stolen_percent", "stood_still_max_seconds", "monitor_lost_share"];
    let known = of_it.into_iter().filter_map(|name| Some(format!("{name} {}", number(*figures.get(name)?))));
    format!("  the machine: {}\n", known.collect::<Vec<_>>().join(", "))
}

fn outcome(report: &Report) -> &'static str {
    if report.broken_off.is_some() {
        return "broken off";
    }
    match (report.limits.is_empty(), report.passed()) {
        (true, _) => "no limits given",
        (false, true) => "every limit kept",
        (false, false) => "limits missed",
    }
}

fn row(limit: &Checked) -> String {
    let sign = match (limit.kept, limit.skipped) {
        (true, _) => "kept",
        (false, true) => "skipped",
        (false, false) => "**missed**",
    };
    format!("| {} | {} | {} | {sign} |\n", limit.figure, limit.limit, value(limit))
}

fn value(limit: &Checked) -> String {
    limit.value.map_or("not measured".to_owned(), number)
}

/// A number with as many digits as help.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.fract() == 0.0 || !value.is_finite() => 0,
        size if size >= 100.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_digits_as_help() {
        let told: Vec<String> = [0.0, 12.0, 1_234.56, 12.345, 0.012_34, f64::INFINITY].map(number).to_vec();
        assert_eq!(told, ["0", "12", "1234.6", "12.35", "0.0123", "inf"]);
    }

    #[test]
    fn what_is_known_of_the_machine_is_told() {
        let figures = [("lost", 1.0), ("monitor_lost_share", 0.352), ("stood_still_max_seconds", 0.84)];
        let figures = figures.map(|(name, value)| (name.to_owned(), value)).into();
        assert_eq!(machine(&figures), "  the machine: stood_still_max_seconds 0.8400, monitor_lost_share 0.3520\n");
    }

    #[test]
    fn a_figure_that_was_not_measured_says_so() {
        let limit = Checked { figure: "lost".into(), limit: "== 0".into(), value: None, kept: false, skipped: false };
        assert_eq!(row(&limit), "| lost | == 0 | not measured | **missed** |\n");
        assert_eq!(row(&Checked { skipped: true, ..limit }), "| lost | == 0 | not measured | skipped |\n");
    }
}
