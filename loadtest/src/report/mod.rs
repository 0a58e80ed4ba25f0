//! What came out of a run: figures and limits, what was wrong, pictures; as JSON, Markdown and SVG.

mod how;
mod markdown;
mod pictures;
pub mod plot;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::clock::{WallMs, wall_text};
use crate::follow::Usage;
use crate::judge::Verdict;
use crate::run::{Call, Done, RunOptions};
use crate::scrape::Reading;

pub use how::How;

/// A limit and whether it was kept.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// The figure's name.
    pub figure: String,
    /// The limit.
    pub limit: String,
    /// The figure; absent when it was not measured.
    pub value: Option<f64>,
    /// Was it kept?
    pub kept: bool,
    /// Could it not be measured the way this run was made? Then it does not count.
    pub skipped: bool,
}

/// What was noted over time, for the pictures.
#[derive(Debug)]
pub struct Series {
    /// First and last moment of the play.
    pub play: (WallMs, WallMs),
    /// Looks at the process.
    pub usages: Vec<Usage>,
    /// Readings of `/metrics`.
    pub readings: Vec<Reading>,
    /// Calls for one cluster, and for pages of lists.
    pub calls: (Vec<Call>, Vec<Call>),
    /// What was harmed, and when.
    pub outages: Vec<Done>,
    /// What the judge found.
    pub verdict: Verdict,
}

/// The report of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub scenario: String,
    /// What it is about.
    pub description: String,
    /// The promise it shows.
    pub promise: Option<String>,
    /// The seed.
    pub seed: u64,
    /// When it began.
    pub began: String,
    /// How it was made.
    pub run: How,
    /// Why it did not come to its end, if it did not.
    pub broken_off: Option<String>,
    /// Limits.
    pub limits: Vec<Checked>,
    /// Figures.
    pub figures: BTreeMap<String, f64>,
    /// What was wrong, in words.
    pub findings: Vec<String>,
    /// Outages that were carried out.
    pub outages: Vec<Done>,
    #[serde(skip)]
    series: Series,
}

impl Report {
    /// Holds the figures against the scenario's limits.
    pub fn new(options: &RunOptions, began: WallMs, figures: BTreeMap<String, f64>, series: Series) -> Self {
        let (scenario, how) = (&options.scenario, &options.how);
        let check = |(figure, limit): (&String, &crate::scenario::Limit)| {
            let value = figures.get(figure).copied();
            let skipped = value.is_none() && how.cannot_measure(figure);
            Checked { figure: figure.clone(), limit: limit.to_string(), value, kept: limit.kept_by(value), skipped }
        };
        Self {
            scenario: options.name.clone(),
            description: scenario.description.clone(),
            promise: scenario.promise.clone(),
            seed: scenario.fleet.seed,
            began: wall_text(began),
            run: how.clone(),
            broken_off: None,
            limits: scenario.limits.iter().map(check).collect(),
            findings: series.verdict.findings.clone(),
            outages: series.outages.clone(),
            figures,
            series,
        }
    }

    /// The same of a run that did not come to its end, if there is a reason.
    #[must_use]
    pub fn broken_off(self, why: Option<String>) -> Self {
        Self { broken_off: why, ..self }
    }

    /// Did it come to its end, and were all limits kept that could be measured?
    pub fn passed(&self) -> bool {
        self.broken_off.is_none() && self.limits.iter().all(|limit| limit.kept || limit.skipped)
    }

    /// Writes `report.json`, `report.md` and the pictures into a directory.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let pictures = pictures::draw(&self.series);
        for (name, svg) in &pictures {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
        }
        let names: Vec<&str> = pictures.iter().map(|(name, _)| *name).collect();
        fs::write(folder.join("report.md"), markdown::write(self, &names))?;
        fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)
    }

    /// The limits and the most telling figures, for a terminal.
    pub fn summary(&self) -> String {
        markdown::summary(self)
    }
}
