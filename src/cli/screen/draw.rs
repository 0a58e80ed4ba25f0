//! The scene on the terminal: counts on top, the table, a line about keys at the bottom.

use fleetbeat_actors::health::State;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Clear, Paragraph, Row as TableRow, Table, TableState};

use super::row::Row;
use super::scene::Scene;
use crate::cli::{look, output};

const HELP: &str = "\
\x20/            filter: part of a name, state:offline,
              type:hub, env:production, region:eu,
              key=value of a label; all must match
 Esc          clear the filter; then leave
 ↑ ↓ j k      one cluster up or down
 PgUp PgDn    a page up or down
 g G          to the first, to the last
 q Ctrl-C     leave

 The worst come first. Any key closes this.";

/// The columns and how wide they are; a name is as wide as the longest, and why is what is left, but would have this much.
const COLUMNS: [(&str, u16); 9] = [
    ("STATE", 10),
    ("NAME", 4),
    ("SCORE", 5),
    ("SINCE", 5),
    ("LATENCY", 8),
    ("TYPE", 8),
    ("ENVIRONMENT", 11),
    ("REGION", 12),
    ("WHY", 28),
];
const NAME: usize = 1;
const WHY: usize = 8;
/// Which columns are left out where there is little room: region, environment, type, latency, score, since.
const FIRST_TO_GO: [usize; 6] = [7, 6, 5, 4, 2, 3];
/// Blanks between two columns.
const GAP: u16 = 2;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, scene: &mut Scene) {
    let [head, table, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)]).areas(frame.area());
    draw_head(frame, head, scene);
    draw_table(frame, table, scene);
    draw_foot(frame, foot, scene);
    if scene.help {
        draw_help(frame, scene);
    }
}

fn style(scene: &Scene, colour: Color) -> Style {
    if scene.colours { Style::new().fg(colour) } else { Style::new() }
}

fn of_state(scene: &Scene, state: State) -> Style {
    let colour = match state {
        State::Online => Color::Green,
        State::Degraded => Color::Yellow,
        State::Offline => Color::Red,
        State::Unknown => Color::DarkGray,
    };
    style(scene, colour).add_modifier(Modifier::BOLD)
}

/// Every state has a shape too: not everybody sees the colours.
fn glyph(state: State) -> &'static str {
    match state {
        State::Online => "●",
        State::Degraded => "◐",
        State::Offline => "✖",
        State::Unknown => "○",
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let whole = head(scene, true);
    let line = if whole.width() > usize::from(area.width) { head(scene, false) } else { whole };
    frame.render_widget(line, area);
    let below = Rect { y: area.y + 1, height: 1, ..area };
    frame.render_widget(news(scene), below);
}

/// The counts; without words where there is no room for them.
fn head(scene: &Scene, words: bool) -> Line<'static> {
    let counts = scene.counts();
    let mut line =
        vec![Span::styled(output::clusters(&scene.len().to_string()), Style::new().add_modifier(Modifier::BOLD))];
    for state in [State::Offline, State::Degraded, State::Unknown, State::Online] {
        let count = State::ALL.iter().position(|one| *one == state).map_or(0, |place| counts.by_state[place]);
        let word = if words { format!(" {state}") } else { String::new() };
        line.push(Span::raw("   "));
        line.push(Span::styled(format!("{} {count}{word}", glyph(state)), of_state(scene, state)));
    }
    for (count, word) in [(counts.stale, "stale"), (counts.flapping, "flapping")] {
        if count > 0 {
            line.push(Span::styled(format!("   {count} {word}"), style(scene, Color::Yellow)));
        }
    }
    Line::from(line)
}

/// What makes the table less than certain goes before everything else.
fn news(scene: &Scene) -> Line<'_> {
    let alarm = style(scene, Color::Red).add_modifier(Modifier::BOLD);
    if let Some(why) = &scene.lost {
        return Line::styled(format!("connection lost ({why}); what is shown is old"), alarm);
    }
    if scene.doubt {
        return Line::styled("the monitor doubts its own network and holds states", alarm);
    }
    Line::styled(scene.server.as_str(), style(scene, Color::DarkGray))
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, scene: &mut Scene) {
    scene.page = usize::from(area.height.saturating_sub(1)).max(1);
    let shown = scene.rows();
    let name = shown.iter().map(|row| row.name.len()).max().unwrap_or(4).clamp(4, 40) as u16;
    let columns = columns(area.width, name);
    let rows: Vec<TableRow<'_>> = shown.iter().map(|row| table_row(scene, row, &columns)).collect();
    let width = |at: &usize| match *at {
        NAME => Constraint::Length(name),
        WHY => Constraint::Min(10),
        other => Constraint::Length(COLUMNS[other].1),
    };
    let widths: Vec<Constraint> = columns.iter().map(width).collect();
    let header = TableRow::new(columns.iter().map(|at| COLUMNS[*at].0));
    let header = header.style(Style::new().add_modifier(Modifier::BOLD));
    let empty = rows.is_empty();
    let at = scene.at.min(rows.len().saturating_sub(1));
    let table = Table::new(rows, widths).header(header).column_spacing(GAP);
    let table = table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::default().with_selected((!empty).then_some(at));
    frame.render_stateful_widget(table, area, &mut state);
    if empty {
        let told = if scene.len() == 0 { "no clusters yet" } else { "no cluster matches" };
        let below = Rect { y: area.y + 1, height: area.height.saturating_sub(1).min(1), ..area };
        frame.render_widget(Line::styled(told, style(scene, Color::DarkGray)), below);
    }
}

/// The columns that there is room for: the state, the name and why before all others.
fn columns(width: u16, name: u16) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let wide = |shown: &[usize]| {
        shown.iter().map(|at| if *at == NAME { name } else { COLUMNS[*at].1 } + GAP).sum::<u16>().saturating_sub(GAP)
    };
    for gone in FIRST_TO_GO {
        if wide(&shown) <= width {
            break;
        }
        shown.retain(|at| *at != gone);
    }
    shown
}

fn table_row<'a>(scene: &Scene, row: &'a Row, columns: &[usize]) -> TableRow<'a> {
    let age = match (row.since, scene.now()) {
        (Some(since), Some(now)) => look::span(now.signed_duration_since(since).num_seconds()),
        _ => look::NOTHING.to_owned(),
    };
    let latency = row.latency_ms.map_or(look::NOTHING.to_owned(), |latency| format!("{latency} ms"));
    let doubts = [(row.stale, "stale"), (row.flapping, "flapping")].into_iter().filter(|(holds, _)| *holds);
    let mut why: Vec<&str> = doubts.map(|(_, word)| word).collect();
    if row.reason != look::NOTHING {
        why.push(&row.reason);
    }
    let right = |text: String| Cell::from(Line::from(text).alignment(Alignment::Right));
    let cells = [
        Cell::from(Span::styled(format!("{} {}", glyph(row.state), row.state), of_state(scene, row.state))),
        Cell::from(row.name.as_str()),
        right(row.score.to_string()),
        right(age),
        right(latency),
        Cell::from(row.cluster_type.as_str()),
        Cell::from(row.environment.as_str()),
        Cell::from(row.region.as_str()),
        Cell::from(why.join(", ")),
    ];
    let shown = cells.into_iter().enumerate().filter(|(at, _)| columns.contains(at));
    TableRow::new(shown.map(|(_, cell)| cell))
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, scene: &Scene) {
    let faint = style(scene, Color::DarkGray);
    let line = match (scene.typing, scene.typed.is_empty()) {
        (true, _) => Line::from(format!("/{}▏", scene.typed)),
        (false, false) => {
            let told = format!("/{}   {} of {}   Esc clears", scene.typed, scene.rows().len(), scene.len());
            Line::styled(told, style(scene, Color::Cyan))
        }
        (false, true) => Line::styled("/ filter   ? help   q leave", faint),
    };
    frame.render_widget(line, area);
}

fn draw_help(frame: &mut Frame<'_>, scene: &Scene) {
    let area = frame.area();
    let (width, height) = (58.min(area.width), 12.min(area.height));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title(" Keys ").border_style(style(scene, Color::Cyan));
    frame.render_widget(Paragraph::new(HELP).block(block), place);
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use insta::assert_snapshot;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use serde_json::{Value, json};

    use super::super::scene::After;
    use super::*;

    fn cluster(name: &str, state: &str, score: u64, reason: Option<&str>) -> Value {
        json!({
            "id": name, "name": name, "cluster_type": "SPOKE", "environment": "PRODUCTION", "region": "us-east", "labels": {"team": "core"},
            "status": {
                "state": state, "health_score": score, "since": "2026-01-01T00:00:00Z", "latency_ms": 12,
                "error_message": reason, "stale": state == "UNKNOWN", "flapping": false,
            },
        })
    }

    fn fleet() -> Scene {
        let clusters = [
            cluster("good-1", "ONLINE", 100, None),
            cluster("gone-1", "OFFLINE", 50, Some("API server: connection refused")),
            cluster("lame-2", "DEGRADED", 65, Some("Tempo: no answer in time")),
            cluster("lame-1", "DEGRADED", 80, Some("Prometheus: connection refused")),
            cluster("new-1", "UNKNOWN", 0, None),
        ];
        let mut scene = Scene::new("http://127.0.0.1:8080", true);
        scene.replace(&clusters, DateTime::parse_from_rfc3339("2026-01-01T00:00:42Z").ok().map(|time| time.to_utc()));
        scene
    }

    fn drawn(scene: &mut Scene) -> String {
        let mut terminal = Terminal::new(TestBackend::new(118, 16)).unwrap();
        terminal.draw(|frame| draw(frame, scene)).unwrap();
        terminal.backend().to_string()
    }

    fn press(scene: &mut Scene, keys: &str) {
        for letter in keys.chars() {
            let code = if letter == '\n' { KeyCode::Enter } else { KeyCode::Char(letter) };
            assert_eq!(scene.press(KeyEvent::new(code, KeyModifiers::NONE)), After::Stay);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_worst_come_first_with_counts_on_top() {
        assert_snapshot!(drawn(&mut fleet()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_typed_narrows_the_table_and_escape_widens_it() {
        let mut scene = fleet();
        press(&mut scene, "/lame");
        assert!(drawn(&mut scene).contains("/lame▏"));
        press(&mut scene, "\n");
        assert_snapshot!(drawn(&mut scene));
        let escape = KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE);
        assert_eq!(scene.press(escape), After::Stay);
        assert_eq!(scene.rows().len(), 5);
        assert_eq!(scene.press(escape), After::Leave);
        press(&mut scene, "/zzz\n");
        assert!(drawn(&mut scene).contains("no cluster matches"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_help_covers_the_table_until_a_key_is_pressed() {
        let mut scene = fleet();
        press(&mut scene, "?");
        assert_snapshot!(drawn(&mut scene));
        press(&mut scene, "x");
        assert!(!drawn(&mut scene).contains(" Keys "));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_old_is_shown_as_fresh() {
        let mut scene = fleet();
        scene.lose("the server ended it");
        assert!(drawn(&mut scene).contains("connection lost (the server ended it); what is shown is old"));
        scene.find_again();
        scene.doubt(true);
        assert!(drawn(&mut scene).contains("the monitor doubts its own network"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_eye_stays_within_the_table() {
        let mut scene = fleet();
        press(&mut scene, "jjjjjjjjjj");
        assert_eq!(scene.at, 4);
        press(&mut scene, "gG");
        assert_eq!(scene.at, 4);
        press(&mut scene, "k");
        assert_eq!(scene.at, 3);
        press(&mut scene, "/x");
        assert_eq!(scene.at, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn where_there_is_little_room_the_state_the_name_and_why_are_left() {
        let mut terminal = Terminal::new(TestBackend::new(50, 8)).unwrap();
        terminal.draw(|frame| draw(frame, &mut fleet())).unwrap();
        let shown = terminal.backend().to_string();
        assert!(shown.contains("5 clusters   ✖ 1   ◐ 2   ○ 1   ● 1   1 stale"), "{shown}");
        assert!(shown.contains("✖ OFFLINE   gone-1  API server: connection refu"), "{shown}");
        assert_eq!(
            columns(78, 6).iter().map(|at| COLUMNS[*at].0).collect::<Vec<_>>().join(" "),
            "STATE NAME SCORE SINCE LATENCY WHY"
        );
        assert_eq!(columns(200, 40).len(), COLUMNS.len());
    }

    #[tokio::test(start_paused = true)]
    async fn an_empty_fleet_and_a_tiny_terminal_are_drawn_too() {
        let mut scene = Scene::new("http://127.0.0.1:8080", false);
        assert!(drawn(&mut scene).contains("no clusters yet"));
        for (width, height) in [(1, 1), (10, 3), (40, 5)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            scene.help = !scene.help;
            terminal.draw(|frame| draw(frame, &mut scene)).unwrap();
        }
    }
}
