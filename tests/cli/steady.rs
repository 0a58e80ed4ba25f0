//! Output with what differs from run to run replaced: ids, times, ages, latencies, widths of columns.

/// The steady form of a text.
pub fn steady(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut words: Vec<_> = line.split(' ').map(word).collect();
        for at in 1..words.len() {
            if words[at] == "ms" {
                words[at - 1] = "[number]".to_owned();
            }
        }
        squeezed(&words.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn word(word: &str) -> String {
    let core = word.trim_matches(['(', ')', '"', ',', ';']);
    match replacement(core) {
        Some(instead) if !core.is_empty() => word.replace(core, instead),
        _ => word.to_owned(),
    }
}

fn replacement(word: &str) -> Option<&'static str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if word.parse::<uuid::Uuid>().is_ok() && word.len() == 36 {
        return Some("[uuid]");
    }
    if word.len() >= 20 && word.ends_with('Z') && word.contains('T') {
        return Some("[time]");
    }
    if word.len() == 12 && word.matches(':').count() == 2 && word.contains('.') {
        return Some("[clock]");
    }
    if digits(word.strip_suffix(['s', 'm', 'h', 'd'])?) { Some("[age]") } else { None }
}

/// Runs of blanks as two, so that a wider column changes nothing.
fn squeezed(line: &str) -> String {
    let mut out = String::new();
    let mut blanks = 0;
    for letter in line.trim_end().chars() {
        blanks = if letter == ' ' { blanks + 1 } else { 0 };
        if blanks <= 2 {
            out.push(letter);
        }
    }
    out
}
