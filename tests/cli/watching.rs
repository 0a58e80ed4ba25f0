//! `fleetbeat watch` on a terminal: a live table that listens to keys.

use super::desk::{Desk, spokes};
use super::terminal::Terminal;

/// The line about keys.
const KEYS: &str = "/ filter   ? help   q leave";

/// A server with twenty simulated clusters, and one where nobody listens.
async fn fleet() -> (Desk, fleetbeat_loadtest::spokes::Fleet) {
    let (desk, fleet) = (Desk::open().await, spokes(20, 11));
    let file = desk.product.data_dir().join("fleet.json");
    std::fs::write(&file, serde_json::to_string(&fleet.registrations()).unwrap()).unwrap();
    desk.ask(&["clusters", "import", file.to_str().unwrap()]).expect(0);
    desk.add_dead("gone-1", &[]).await;
    (desk, fleet)
}

/// The rows of the table: a glyph, then the state.
fn table(screen: &[String]) -> Vec<&String> {
    screen.iter().filter(|line| line.starts_with(['●', '◐', '✖', '○'])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_the_worst_come_first_and_keys_and_sizes_are_heard() {
    let (desk, _fleet) = fleet().await;
    let Some(mut terminal) = Terminal::open(&desk, (30, 118), &["watch"], &[]) else { return };
    let complete = |screen: &[String]| {
        let rows = table(screen);
        let first = rows.first().is_some_and(|row| row.starts_with("✖ OFFLINE") && row.contains(" gone-1 "));
        screen[0] == "21 clusters   ✖ 1 OFFLINE   ◐ 0 DEGRADED   ○ 0 UNKNOWN   ● 20 ONLINE" && first && rows.len() == 21
    };
    terminal.until("the whole fleet, the worst first", |screen| complete(screen) && screen[29] == KEYS).await;
    assert!(has_colours(&terminal.written()));

    terminal.press("/GONE");
    terminal.until("what is typed", |screen| screen[29] == "/GONE▏" && table(screen).len() == 1).await;
    terminal.press("\r");
    terminal.until("one of them", |screen| screen[29].contains("1 of 21") && table(screen).len() == 1).await;
    terminal.press("\x1b");
    terminal.until("all of them", |screen| complete(screen) && screen[29] == KEYS).await;
    let helps = |screen: &[String]| screen.iter().any(|line| line.contains("Any key closes this."));
    terminal.press("?");
    terminal.until("the help", helps).await;
    terminal.press("x");
    terminal.until("no help", |screen| complete(screen) && !helps(screen)).await;

    terminal.resize(12, 60);
    let fits = |screen: &[String]| screen[11] == KEYS && screen.iter().all(|line| line.chars().count() <= 60);
    let essential = |row: &String| row.starts_with("✖ OFFLINE") && row.contains(" gone-1 ") && row.contains("refused");
    let smaller = |screen: &[String]| fits(screen) && table(screen).first().is_some_and(|row| essential(row));
    terminal.until("a smaller table", |screen| smaller(screen) && screen[12..].iter().all(String::is_empty)).await;
    terminal.press("q");
    assert!(terminal.ended().await.success());
    let left = terminal.written();
    assert!(left.contains("\x1b[?1049l") && left.trim_end().ends_with("\x1b[?25h"), "the terminal is as it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_colours_are_written_where_none_are_wanted_and_lines_where_nobody_looks() {
    let (desk, _fleet) = fleet().await;
    let Some(mut terminal) = Terminal::open(&desk, (24, 100), &["watch"], &[("NO_COLOR", "1")]) else { return };
    terminal.until("a table", |screen| table(screen).first().is_some_and(|row| row.contains(" gone-1 "))).await;
    terminal.press("\x03");
    assert!(terminal.ended().await.success());
    assert!(!has_colours(&terminal.written()), "{:?}", terminal.written());
    let piped = desk.shell("{ timeout 5 $fleetbeat watch --after 0 || true; } | head -n 1").expect(0).out;
    assert!(piped.contains("CLUSTER") || piped.contains('+'), "{piped}");
    assert!(!piped.contains('\x1b'), "{piped}");
}

/// Is a colour of letters chosen anywhere?
fn has_colours(written: &str) -> bool {
    let codes = written.split("\x1b[").filter_map(|part| part.split_once('m')).map(|(codes, _)| codes);
    let colour = |code: &str| code.starts_with("38;") || matches!(code.parse(), Ok(30..=37 | 90..=97));
    codes.filter(|codes| codes.bytes().all(|byte| byte.is_ascii_digit() || byte == b';')).any(colour)
}
