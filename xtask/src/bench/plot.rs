//! A plot as SVG: panels of rows, each row with every measurement as a dot, the quartiles as a box, the median as a
//! line.
//!
//! It follows the reader's choice of dark or light, and needs no script and no font of its own.

use std::fmt::Write as _;

use super::statistics::Spread;

const WIDTH: f64 = 880.0;
/// Where the rows' names end and the scale begins.
const LEFT: f64 = 340.0;
const RIGHT: f64 = 40.0;
const ROW: f64 = 30.0;
const BOX: f64 = 14.0;
/// Above a panel's rows: its title. Below them: ticks and the axis's name.
const HEAD: f64 = 40.0;
const FOOT: f64 = 56.0;
const MARGIN: f64 = 16.0;

const STYLE: &str = "
  .paper { fill: #ffffff } .ink { fill: #1c2024 } .quiet { fill: #5b6470 }
  .grid { stroke: #dde1e6 } .axis { stroke: #5b6470 }
  .box { fill: #8ab4e8; fill-opacity: .55; stroke: #1f5fa8 } .median { stroke: #1f5fa8; stroke-width: 3 }
  .dot { fill: #1f5fa8; fill-opacity: .55 } .goal { stroke: #b3261e; stroke-width: 2; stroke-dasharray: 5 3 }
  text { font: 13px system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 } .small { font-size: 12px }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #14171a } .ink { fill: #e8eaed } .quiet { fill: #a4adb8 }
    .grid { stroke: #2c3238 } .axis { stroke: #a4adb8 }
    .box { fill: #3d6ea8; stroke: #8ab8f0 } .median { stroke: #8ab8f0 }
    .dot { fill: #8ab8f0 } .goal { stroke: #ff8a80 }
  }
";

/// Rows on one scale.
pub struct Panel {
    /// Above it.
    pub title: String,
    /// The scale's name and unit.
    pub axis: String,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// One line of a panel.
pub struct Row {
    /// Its name.
    pub label: String,
    /// Each measurement.
    pub values: Vec<f64>,
    /// Drawn as a broken line.
    pub goal: Option<f64>,
}

/// The whole picture; panels without rows are left out.
pub fn svg(caption: &str, panels: &[Panel]) -> String {
    let panels: Vec<&Panel> = panels
        .iter()
        .filter(|panel| !panel.rows.is_empty())
        .collect();
    let height = |panel: &Panel| HEAD + ROW * panel.rows.len() as f64 + FOOT;
    let total = 2.0 * MARGIN + 20.0 + panels.iter().map(|panel| height(panel)).sum::<f64>();
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {total}\" width=\"{WIDTH}\" height=\"{total}\" role=\"img\">\n<style>{STYLE}</style>\n<title>{0}</title>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{total}\"/>\n",
        escaped(caption)
    );
    let mut top = MARGIN;
    for panel in panels {
        draw(&mut out, panel, top);
        top += height(panel);
    }
    text(
        &mut out,
        MARGIN,
        top + 14.0,
        "start",
        "quiet small",
        caption,
    );
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Panel, top: f64) {
    let values = panel
        .rows
        .iter()
        .flat_map(|row| row.values.iter().copied().chain(row.goal));
    let ticks = ticks(values.fold(0.0, f64::max));
    let end = ticks.last().copied().unwrap_or(1.0);
    let x = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * value / end;
    let (first, last) = (top + HEAD, top + HEAD + ROW * panel.rows.len() as f64);
    text(out, MARGIN, top + 20.0, "start", "ink title", &panel.title);
    for tick in &ticks {
        line(out, "grid", x(*tick), first, x(*tick), last);
        text(
            out,
            x(*tick),
            last + 18.0,
            "middle",
            "quiet small",
            &number(*tick),
        );
    }
    line(out, "axis", LEFT, last, WIDTH - RIGHT, last);
    text(
        out,
        (LEFT + WIDTH - RIGHT) / 2.0,
        last + 38.0,
        "middle",
        "ink",
        &panel.axis,
    );
    for (at, row) in panel.rows.iter().enumerate() {
        let middle = first + ROW * (at as f64 + 0.5);
        text(out, LEFT - 12.0, middle + 4.0, "end", "ink", &row.label);
        if let Some(spread) = Spread::of(row.values.iter().copied()) {
            let _ = writeln!(
                out,
                "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BOX}\"/>",
                x(spread.lower),
                middle - BOX / 2.0,
                (x(spread.upper) - x(spread.lower)).max(1.0),
            );
            for value in &row.values {
                let _ = writeln!(
                    out,
                    "<circle class=\"dot\" cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"2.5\"/>",
                    x(*value)
                );
            }
            line(
                out,
                "median",
                x(spread.median),
                middle - BOX / 2.0 - 2.0,
                x(spread.median),
                middle + BOX / 2.0 + 2.0,
            );
        }
        if let Some(goal) = row.goal {
            line(
                out,
                "goal",
                x(goal),
                middle - ROW / 2.0 + 1.0,
                x(goal),
                middle + ROW / 2.0 - 1.0,
            );
        }
    }
}

fn line(out: &mut String, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
    let _ = writeln!(
        out,
        "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
    );
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, class: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
        escaped(words)
    );
}

/// From 0 in steps of 1, 2 or 5 times a power of ten to the first that is no less than `most`; five to eleven of them.
fn ticks(most: f64) -> Vec<f64> {
    if !(most.is_finite() && most > 0.0) {
        return vec![0.0, 1.0];
    }
    let power = 10f64.powf((most / 10.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| most / step <= 10.0)
        .unwrap_or(most);
    (0..=(most / step).ceil() as u32)
        .map(|at| f64::from(at) * step)
        .collect()
}

/// Without a tail of rounding errors and zeros.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

fn escaped(words: &str) -> String {
    words
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_number_no_less_than_the_most() {
        for (most, last, count) in [
            (23.0, 25.0, 6),
            (0.97, 1.0, 11),
            (100.0, 100.0, 11),
            (0.0, 1.0, 2),
            (5.2, 6.0, 7),
        ] {
            let ticks = ticks(most);
            assert!(
                (ticks[ticks.len() - 1] - last).abs() < 1e-9,
                "{most}: {ticks:?}"
            );
            assert_eq!(ticks.len(), count, "{most}: {ticks:?}");
        }
    }

    #[test]
    fn every_measurement_is_a_dot_inside_the_picture_and_words_are_escaped() {
        let panel = Panel {
            title: "a <b>".to_owned(),
            axis: "MB/s".to_owned(),
            rows: vec![Row {
                label: "x & y".to_owned(),
                values: vec![1.0, 2.0, 8.5],
                goal: Some(9.0),
            }],
        };
        let svg = svg("caption", &[panel]);
        let dots: Vec<f64> = svg
            .split("cx=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse().ok())
            .collect();
        assert_eq!(dots.len(), 3);
        assert!(
            dots.iter().all(|x| (LEFT..=WIDTH - RIGHT).contains(x)),
            "{dots:?}"
        );
        assert!(svg.contains("a &lt;b&gt;") && svg.contains("x &amp; y") && svg.contains("MB/s"));
    }
}
