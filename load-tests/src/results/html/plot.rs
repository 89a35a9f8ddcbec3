//! Line plots as SVG. Pure: numbers in, text out.
//!
//! Lines are distinguished by colours that are safe for colour-blind readers (Okabe and Ito), and by their names at
//! their ends.

use std::fmt::Write as _;

use crate::results::junit::escaped;

use super::axis::{Scale, Tick};

const WIDTH: f64 = 1_000.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// Maximum points of a line: more than a screen can show.
const POINTS_MAX: usize = 900;
/// Vertical distance between names.
const NAME_HEIGHT: f64 = 15.0;
const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#5c5c5c",
];

/// A line.
pub(super) struct Line {
    pub name: String,
    /// Index of the colour; related lines share one.
    pub colour: usize,
    pub dashed: bool,
    pub points: Vec<(f64, f64)>,
}

/// An event at a moment.
pub(super) struct Mark {
    pub at: f64,
    pub text: String,
}

/// Lines on two axes.
pub(super) struct Plot<'a> {
    pub across: (Scale, Vec<Tick>, &'a str),
    pub up: (Scale, Vec<Tick>),
    pub lines: Vec<Line>,
    pub marks: Vec<Mark>,
}

impl Plot<'_> {
    /// The SVG, in a section with a title; empty if no line has points.
    pub(super) fn section(&self, title: &str, what: &str) -> String {
        if self.lines.iter().all(|line| line.points.is_empty()) {
            return String::new();
        }
        format!(
            "<section><h2>{}</h2><p>{}</p><figure>{}</figure></section>\n",
            escaped(title),
            escaped(what),
            self.svg(title)
        )
    }

    fn svg(&self, title: &str) -> String {
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(title)
        );
        self.grid(&mut svg);
        self.draw_marks(&mut svg);
        for line in &self.lines {
            self.draw(line, &mut svg);
        }
        self.names(&mut svg);
        svg.push_str("</svg>");
        svg
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.across.0.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.up.0.place(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn grid(&self, svg: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in &self.across.1 {
            let x = LEFT + tick.place * (right - LEFT);
            // Writing to a string cannot fail.
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                escaped(&tick.text)
            );
        }
        for tick in &self.up.1 {
            let y = bottom - tick.place * (bottom - TOP);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 7.0,
                y + 4.0,
                escaped(&tick.text)
            );
        }
        let _ = write!(
            svg,
            "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/>\
            <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            right - LEFT,
            bottom - TOP,
            f64::midpoint(LEFT, right),
            HEIGHT - 6.0,
            escaped(self.across.2)
        );
    }

    fn draw_marks(&self, svg: &mut String) {
        for mark in &self.marks {
            let x = self.x(mark.at);
            let _ = write!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\
                <text class=\"mark-text\" transform=\"translate({:.1} {:.1}) rotate(90)\">{}</text>",
                HEIGHT - BOTTOM,
                x + 3.0,
                TOP + 4.0,
                escaped(&mark.text)
            );
        }
    }

    fn draw(&self, line: &Line, svg: &mut String) {
        let points: String = thinned(&line.points)
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1} ", self.x(*x), self.y(*y)))
            .collect();
        let class = if line.dashed { " class=\"dashed\"" } else { "" };
        let colour = COLOURS[line.colour % COLOURS.len()];
        let _ = write!(
            svg,
            "<polyline{class} stroke=\"{colour}\" points=\"{}\"/>",
            points.trim_end()
        );
    }

    /// Puts each name beside the end of its line, moved so that names do not overlap.
    fn names(&self, svg: &mut String) {
        let mut ends: Vec<(f64, &Line)> = self
            .lines
            .iter()
            .filter_map(|line| Some((self.y(line.points.last()?.1), line)))
            .collect();
        ends.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut places: Vec<f64> = Vec::new();
        for (end, _) in &ends {
            let free = places.last().map_or(TOP + 4.0, |last| last + NAME_HEIGHT);
            places.push(end.max(free));
        }
        // Names pushed below the bottom push the others up.
        let mut floor = HEIGHT - BOTTOM;
        for place in places.iter_mut().rev() {
            *place = place.min(floor);
            floor = *place - NAME_HEIGHT;
        }
        let x = WIDTH - RIGHT + 8.0;
        for ((_, line), y) in ends.iter().zip(places) {
            let colour = COLOURS[line.colour % COLOURS.len()];
            let class = if line.dashed { " class=\"dashed\"" } else { "" };
            let _ = write!(
                svg,
                "<polyline{class} stroke=\"{colour}\" points=\"{x:.1},{y:.1} {:.1},{y:.1}\"/>\
                <text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                x + 18.0,
                x + 23.0,
                y + 4.0,
                escaped(&line.name)
            );
        }
    }
}

/// Thins out many points, keeping the highest of each stretch so that no peak is lost.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |stretch: &[(f64, f64)]| stretch.iter().copied().max_by(|one, other| one.1.total_cmp(&other.1));
    points.chunks(stretch).filter_map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_does_not_vanish() {
        let points: Vec<(f64, f64)> = (0..10_000)
            .map(|at| (f64::from(at), if at == 4_321 { 9.0 } else { 1.0 }))
            .collect();
        let thinned = thinned(&points);
        assert!(thinned.len() <= POINTS_MAX);
        assert!(thinned.contains(&(4_321.0, 9.0)));
    }
}
