//! Tables: plain columns, as wide as their content, the same on a terminal and in a file.

use comfy_table::{CellAlignment, Color, ContentArrangement, Table, presets};
use fleetbeat_actors::health::State;
use serde_json::Value;

use super::paint::Paint;

/// A cell.
pub struct Cell(comfy_table::Cell);

impl Cell {
    /// Text.
    pub fn text(text: impl ToString) -> Self {
        Self(comfy_table::Cell::new(text))
    }

    /// A number: to the right.
    pub fn number(number: impl ToString) -> Self {
        Self(comfy_table::Cell::new(number).set_alignment(CellAlignment::Right))
    }

    /// A state, in its colour.
    pub fn state(state: State) -> Self {
        Self(comfy_table::Cell::new(state.as_str()).fg(match state {
            State::Online => Color::Green,
            State::Degraded => Color::Yellow,
            State::Offline => Color::Red,
            State::Unknown => Color::DarkGrey,
        }))
    }

    /// What went wrong, or well.
    pub fn verdict(text: &str, good: bool) -> Self {
        Self(comfy_table::Cell::new(text).fg(if good { Color::Green } else { Color::Red }))
    }
}

/// The table of an answer's `items`.
pub fn of_items(answer: &Value, header: &[&str], row: impl Fn(&Value) -> Vec<Cell>, paint: Paint) -> String {
    render(header, answer["items"].as_array().into_iter().flatten().map(row).collect(), paint)
}

/// The table as text, ending in a line feed.
pub fn render(header: &[&str], rows: Vec<Vec<Cell>>, paint: Paint) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(
        header.iter().map(|title| comfy_table::Cell::new(title).add_attribute(comfy_table::Attribute::Bold)),
    );
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| cell.0)));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if paint.is_on() {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}
