//! One line of the text format of Prometheus.

/// A sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The metric.
    pub name: &'a str,
    /// Its labels; escapes are left as they are.
    pub labels: Vec<(&'a str, &'a str)>,
    /// The value.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| *value)
    }
}

/// Reads a line; nothing for comments and empty lines.
pub fn parse(line: &str) -> Option<Sample<'_>> {
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = read_labels(inside, &mut labels)?;
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name, labels, value })
}

/// Reads labels up to the closing brace and returns what follows it.
fn read_labels<'a>(mut text: &'a str, labels: &mut Vec<(&'a str, &'a str)>) -> Option<&'a str> {
    loop {
        text = text.trim_start_matches(',');
        if let Some(rest) = text.strip_prefix('}') {
            return Some(rest);
        }
        let (name, rest) = text.split_once("=\"")?;
        let end = closing_quote(rest)?;
        labels.push((name, &rest[..end]));
        text = &rest[end + 1..];
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_and_without_labels() {
        assert_eq!(parse("up 1"), Some(Sample { name: "up", labels: vec![], value: 1.0 }));
        let sample = parse("a_total{b=\"c d\",e=\"f\\\"},g\"} 2.5e3 1700000000").unwrap();
        assert_eq!((sample.name, sample.value), ("a_total", 2_500.0));
        assert_eq!((sample.label("b"), sample.label("e")), (Some("c d"), Some("f\\\"},g")));
        assert_eq!(parse("a{le=\"+Inf\"} NaN").map(|sample| sample.value.is_nan()), Some(true));
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for line in ["", "# HELP up x", "up", "up one", "a{b=\"c"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }
}
