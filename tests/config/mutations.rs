//! Damaged files: 10,000 random mutations of the valid ones are answered, quickly, and never with a panic.

use std::{fs, path::Path, time::Duration};

use cmdr::config::{self, LoadError};
use rustix::time::{ClockId, clock_gettime};

const MUTATIONS: u64 = 10_000;
/// How many times as long as the slowest undamaged file a damaged one may take: each mistake is found and written down.
const LONGEST: u32 = 10;
/// How many times as long twice the text may take. A quadratic algorithm takes four times as long.
const GROWTH: f64 = 3.2;

#[test]
fn damaged_files_are_answered_quickly_and_never_with_a_panic() {
    let texts: Vec<Vec<u8>> =
        super::cases("valid").folders.iter().map(|(_, folder)| fs::read(folder.join(config::FILE)).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let mutation = |seed: u64| {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
        mutated(&texts[random.below(texts.len())], &mut random)
    };
    let (mut slowest, mut invalid) = ((Duration::ZERO, 0), 0);
    for seed in 0..MUTATIONS {
        let (time, answer) = answered(folder.path(), &mutation(seed));
        slowest = slowest.max((time, seed));
        invalid += usize::from(answer.is_some_and(|report| !report.is_empty()));
    }
    let undamaged = texts.iter().map(|text| least_time(folder.path(), text)).max().unwrap();
    let damaged = least_time(folder.path(), &mutation(slowest.1));
    println!("slowest: seed {}, {damaged:?}; undamaged: {undamaged:?}; invalid: {invalid}", slowest.1);
    assert!(damaged < undamaged * LONGEST, "seed {} took {damaged:?}, undamaged files {undamaged:?}", slowest.1);
    assert!(invalid > 5_000, "only {invalid} mutations were mistakes: they do not damage enough");
}

/// Texts that someone made to hurt, or that a generator made too large, of a size and of twice the size.
fn hostile_texts() -> [(&'static str, [String; 2]); 7] {
    let head = "version: 1\nname: tunes\n";
    let lines = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<Vec<_>>().concat();
    let chain = |length: usize, last: &str| {
        let needs = lines(length, |n| format!("  p{n}: {{image: shop:1, needs: [p{}]}}\n", n + 1));
        format!("{head}projects:\n{needs}  p{length}: {{image: shop:1, needs: [{last}]}}\n")
    };
    let aliases = vec!["*a"; 190].join(", ");
    let merges = |count: usize| {
        let keys = lines(count, |n| format!("k{n}: 1, "));
        format!("{head}defaults:\n  values:\n    a: &a {{{keys}}}\n    b: {{<<: [{aliases}]}}\n")
    };
    let long = |length: usize| format!("{head}projects: {{shop: {{image: \"{}\"}}}}\n", "x".repeat(length));
    let unknown = |count: usize| format!("{head}{}", lines(count, |n| format!("key{n}: 1\n")));
    [
        ("a circle", [1_500, 3_000].map(|length| chain(length, "p0"))),
        ("a long way to nothing", [1_500, 3_000].map(|length| chain(length, "nothing"))),
        ("merges", [50, 100].map(merges)),
        ("brackets", [1 << 19, 1 << 20].map(|length| "[".repeat(length))),
        ("maps in maps", [50_000, 100_000].map(|length| "a: ".repeat(length))),
        ("one long line", [1 << 19, 1 << 20].map(long)),
        ("many unknown keys", [500, 1_000].map(unknown)),
    ]
}

#[test]
fn the_time_for_hostile_files_grows_with_their_size() {
    let folder = tempfile::tempdir().unwrap();
    for (name, [text, twice]) in hostile_texts() {
        let (once, more) = (least_time(folder.path(), text.as_bytes()), least_time(folder.path(), twice.as_bytes()));
        println!("{name}: {once:?}, twice the size: {more:?}");
        // What takes no time worth mentioning is all noise.
        let noise = Duration::from_millis(20);
        assert!(more < once.mul_f64(GROWTH) + noise, "{name} took {once:?}, and {more:?} for twice the size");
    }
}

#[test]
fn control_characters_of_a_file_are_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    let (_, report) = answered(folder.path(), b"version: 1\nname: tunes\n\"a\\e[2J\\u0000b\": 1\n");
    assert!(!report.unwrap().contains('\0'));
}

/// The least time of three: what other programs add is left out.
fn least_time(folder: &Path, text: &[u8]) -> Duration {
    (0..3).map(|_| answered(folder, text).0).min().unwrap()
}

/// The thread's time until all mistakes are written down, and these.
fn answered(folder: &Path, text: &[u8]) -> (Duration, Option<String>) {
    fs::write(folder.join(config::FILE), text).unwrap();
    let before = thread_time();
    let report = match config::load(folder) {
        Ok(_) => None,
        Err(LoadError::Invalid(report)) => Some(report.render(true)),
        Err(error) => panic!("{error}"),
    };
    (thread_time().saturating_sub(before), report)
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap(), u32::try_from(time.tv_nsec).unwrap())
}

/// Steele and Vigna's splitmix64: the same mutations on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap()
    }
}

/// One to four injuries.
fn mutated(text: &[u8], random: &mut Random) -> Vec<u8> {
    let mut text = text.to_vec();
    for _ in 0..=random.below(4) {
        text = match random.below(8) {
            0 => flipped(text, random),
            1 => text[..random.below(text.len() + 1)].to_vec(),
            2 => inserted(text, random),
            3 => keys_swapped(&text, random),
            kind => lines_moved(&text, kind, random),
        };
    }
    text
}

fn flipped(mut text: Vec<u8>, random: &mut Random) -> Vec<u8> {
    if !text.is_empty() {
        let place = random.below(text.len());
        text[place] ^= 1 << random.below(8);
    }
    text
}

/// Puts in what means something to YAML.
fn inserted(mut text: Vec<u8>, random: &mut Random) -> Vec<u8> {
    const PIECES: [&str; 20] = [
        "{", "}", "[", "]", ": ", "- ", "\n", "\t", "\"", "'", "#", "&a ", "*a", "<<: ", "!x ", "| ", "? ", "---\n",
        "\u{feff}", "ä",
    ];
    let place = random.below(text.len() + 1);
    let piece = PIECES[random.below(PIECES.len())].bytes();
    text.splice(place..place, piece);
    text
}

/// Lets two keys change their places: both stay, and neither fits.
fn keys_swapped(text: &[u8], random: &mut Random) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| word.len() > 2).collect();
    if words.is_empty() {
        return text.into_bytes();
    }
    let (one, other) = (words[random.below(words.len())], words[random.below(words.len())]);
    text.replacen(one, "\u{1}", 1).replacen(other, one, 1).replacen('\u{1}', other, 1).into_bytes()
}

/// Takes a line away, writes one twice, lets two change places, or indents one.
fn lines_moved(text: &[u8], kind: usize, random: &mut Random) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    if lines.is_empty() {
        return Vec::new();
    }
    let (one, other) = (random.below(lines.len()), random.below(lines.len()));
    match kind {
        4 => _ = lines.remove(one),
        5 => lines.insert(other, lines[one].clone()),
        6 => lines.swap(one, other),
        _ => lines[one].splice(0..0, std::iter::repeat_n(b' ', random.below(5))).for_each(drop),
    }
    lines.concat()
}
