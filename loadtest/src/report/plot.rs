//! Small line charts as SVG, written by hand: light, readable, without a script or a font of their own.

use std::fmt::Write;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 300.0;
/// Space for the axes: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (64.0, 20.0, 52.0, 44.0);
const COLORS: [&str; 6] = ["#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed", "#475569"];

/// A line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Its points, ascending in x.
    pub points: Vec<(f64, f64)>,
    /// Does it keep its value until the next point?
    pub steps: bool,
}

/// A chart.
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// What x is, with its unit.
    pub x: String,
    /// What y is, with its unit.
    pub y: String,
    /// The lines.
    pub lines: Vec<Line>,
    /// Stretches of x that are shaded.
    pub shades: Vec<(f64, f64)>,
}

impl Plot {
    /// The chart; nothing when there is not one point.
    pub fn svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| &line.points).filter(|(x, y)| x.is_finite() && y.is_finite());
        let (first, last) = (fold(points().map(|p| p.0), f64::min)?, fold(points().map(|p| p.0), f64::max)?);
        let highest = fold(points().map(|p| p.1), f64::max)?;
        let frame = Frame::new((first, last.max(first + 1e-9)), highest.max(1e-9));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"11\" fill=\"#334155\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{}\" y=\"20\" font-size=\"14\" font-weight=\"600\" fill=\"#0f172a\">{}</text>\n",
            MARGIN.0,
            escape(&self.title)
        );
        self.shades.iter().for_each(|shade| frame.shade(*shade, &mut svg));
        frame.axes(self, &mut svg);
        self.legend(&mut svg);
        for (line, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            frame.line(line, color, &mut svg);
        }
        svg.push_str("</svg>\n");
        Some(svg)
    }

    fn legend(&self, svg: &mut String) {
        let mut x = MARGIN.0;
        for (line, color) in self.lines.iter().zip(COLORS.iter().cycle()) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"31\" width=\"14\" height=\"3\" fill=\"{color}\"/><text x=\"{}\" y=\"37\">{}</text>",
                x + 19.0,
                escape(&line.name)
            );
            x += 34.0 + 6.4 * line.name.chars().count() as f64;
        }
    }
}

fn fold(values: impl Iterator<Item = f64>, pick: fn(f64, f64) -> f64) -> Option<f64> {
    values.reduce(pick)
}

/// Where values lie on the picture.
struct Frame {
    x: (f64, f64),
    top: f64,
    step: (f64, f64),
}

impl Frame {
    fn new(x: (f64, f64), highest: f64) -> Self {
        let step = (nice_step(x.1 - x.0, 8.0), nice_step(highest, 5.0));
        Self { x, top: (highest / step.1).ceil() * step.1, step }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let wide = WIDTH - MARGIN.0 - MARGIN.1;
        let high = HEIGHT - MARGIN.2 - MARGIN.3;
        let across = MARGIN.0 + wide * (x - self.x.0) / (self.x.1 - self.x.0);
        (across, HEIGHT - MARGIN.3 - high * y / self.top)
    }

    fn shade(&self, (from, to): (f64, f64), svg: &mut String) {
        let (left, _) = self.at(from.max(self.x.0), 0.0);
        let (right, _) = self.at(to.min(self.x.1), 0.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{left:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"#fee2e2\"/>",
            MARGIN.2,
            (right - left).max(1.0),
            HEIGHT - MARGIN.2 - MARGIN.3
        );
    }

    fn axes(&self, plot: &Plot, svg: &mut String) {
        let (left, right, bottom) = (MARGIN.0, WIDTH - MARGIN.1, HEIGHT - MARGIN.3);
        let mut y = 0.0;
        while y <= self.top * 1.000_1 {
            let at = self.at(self.x.0, y).1;
            let _ = writeln!(
                svg,
                "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e2e8f0\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left - 7.0,
                at + 4.0,
                tick(y, self.step.1)
            );
            y += self.step.1;
        }
        let mut x = (self.x.0 / self.step.0).ceil() * self.step.0;
        while x <= self.x.1 * 1.000_001 {
            let at = self.at(x, 0.0).0;
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{bottom}\" y2=\"{}\" stroke=\"#94a3b8\"/>\
                 <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                bottom + 4.0,
                bottom + 17.0,
                tick(x, self.step.0)
            );
            x += self.step.0;
        }
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#94a3b8\"/>\
             <text x=\"{right}\" y=\"{}\" text-anchor=\"end\" fill=\"#64748b\">{}</text>\
             <text x=\"{right}\" y=\"20\" text-anchor=\"end\" fill=\"#64748b\">{}</text>",
            bottom + 34.0,
            escape(&plot.x),
            escape(&plot.y)
        );
    }

    fn line(&self, line: &Line, color: &str, svg: &mut String) {
        let mut path = String::new();
        let mut before = None;
        for (x, y) in line.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite()) {
            let (x, y) = self.at(*x, *y);
            let _ = match before {
                None => write!(path, "M{x:.1} {y:.1}"),
                Some(_) if line.steps => write!(path, "H{x:.1}V{y:.1}"),
                Some(_) => write!(path, "L{x:.1} {y:.1}"),
            };
            before = Some(y);
        }
        let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.6\"/>");
    }
}

/// 1, 2 or 5 times a power of ten, so that about `count` of them make the range.
fn nice_step(range: f64, count: f64) -> f64 {
    let rough = range / count;
    let power = 10f64.powf(rough.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].into_iter().find(|nice| nice * power >= rough * 0.999_9).unwrap_or(10.0);
    nice * power
}

fn tick(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(points: Vec<(f64, f64)>) -> Plot {
        let line = Line { name: "a <line>".into(), points, steps: false };
        Plot { title: "Title".into(), x: "s".into(), y: "ms".into(), lines: vec![line], shades: vec![(1.0, 2.0)] }
    }

    #[test]
    fn steps_are_round_numbers() {
        assert_eq!([nice_step(10.0, 5.0), nice_step(0.7, 5.0), nice_step(1_234.0, 5.0)], [2.0, 0.2, 500.0]);
        assert_eq!([tick(0.2, 0.1), tick(1_500.0, 500.0)], ["0.2", "1500"]);
    }

    #[test]
    fn a_chart_is_whole_and_escaped() {
        let svg = plot(vec![(0.0, 1.0), (5.0, 3.0), (10.0, 2.0)]).svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a &lt;line&gt;") && !svg.contains("NaN") && !svg.contains("inf"));
        assert_eq!(svg.matches("<path").count(), 1);
    }

    #[test]
    fn a_chart_survives_few_and_strange_points() {
        assert_eq!(plot(vec![]).svg(), None);
        for points in [vec![(3.0, 0.0)], vec![(1.0, 5.0), (1.0, 5.0)], vec![(0.0, f64::NAN), (1.0, 1.0)]] {
            let svg = plot(points).svg().unwrap();
            assert!(!svg.contains("NaN"), "{svg}");
        }
    }

    #[test]
    fn a_line_of_steps_goes_along_before_it_goes_up() {
        let mut stairs = plot(vec![(0.0, 0.0), (1.0, 1.0)]);
        stairs.lines[0].steps = true;
        let svg = stairs.svg().unwrap();
        let path = svg.split("<path d=\"").nth(1).unwrap();
        assert!(path.starts_with('M') && path.contains('H') && path.contains('V') && !path[..30].contains('L'));
    }
}
