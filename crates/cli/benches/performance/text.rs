//! Text that is like real text: words of a vocabulary whose frequencies fall as 1/rank (Zipf's law), and set phrases that
//! come back. Repeated hashes or `random()` would flatter one compression level and slander another.
//!
//! Everything follows from a seed.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, good enough to choose words.
#[derive(Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the product's high half is below `end`"
        )]
        let number = ((u128::from(self.next()) * end as u128) >> 64) as usize;
        number
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

const WORDS: usize = 20_000;
const PHRASES: usize = 4_000;
/// Slots of the tables that turn a random number into a rank.
const SLOTS: usize = 1 << 18;

/// A vocabulary and its phrases.
pub(crate) struct Language {
    words: Vec<String>,
    phrases: Vec<String>,
    word_slots: Vec<u16>,
    phrase_slots: Vec<u16>,
}

impl Language {
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut words: Vec<String> = Vec::with_capacity(WORDS);
        let mut seen = std::collections::HashSet::new();
        while words.len() < WORDS {
            let word = word(&mut chance, words.len());
            if seen.insert(word.clone()) {
                words.push(word);
            }
        }
        let mut language = Self {
            words,
            phrases: Vec::new(),
            word_slots: zipf(WORDS),
            phrase_slots: zipf(PHRASES),
        };
        for _ in 0..PHRASES {
            let mut phrase = language.word(&mut chance).to_owned();
            for _ in 0..1 + chance.below(4) {
                phrase.push(' ');
                phrase.push_str(language.word(&mut chance));
            }
            language.phrases.push(phrase);
        }
        language
    }

    /// A word, frequent ones more often.
    pub(crate) fn word(&self, chance: &mut Chance) -> &str {
        &self.words[usize::from(self.word_slots[chance.below(SLOTS)])]
    }

    /// A phrase, frequent ones more often.
    fn phrase(&self, chance: &mut Chance) -> &str {
        &self.phrases[usize::from(self.phrase_slots[chance.below(SLOTS)])]
    }

    /// Appends sentences of about `bytes` bytes.
    pub(crate) fn sentences(&self, out: &mut String, bytes: usize, chance: &mut Chance) {
        let end = out.len() + bytes;
        let mut in_sentence = 0;
        while out.len() < end {
            let piece = if chance.one_in(4) {
                self.phrase(chance)
            } else {
                self.word(chance)
            };
            if in_sentence == 0 {
                let mut letters = piece.chars();
                if let Some(first) = letters.next() {
                    out.extend(first.to_uppercase());
                    out.push_str(letters.as_str());
                }
            } else {
                out.push_str(piece);
            }
            in_sentence += 1;
            if in_sentence > 6 && chance.one_in(8) {
                out.push('.');
                in_sentence = 0;
            } else if chance.one_in(12) {
                out.push(',');
            }
            out.push(' ');
        }
        out.pop();
        out.push('.');
    }
}

/// A word of syllables; frequent words are short.
fn word(chance: &mut Chance, rank: usize) -> String {
    const ONSETS: [&str; 24] = [
        "b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "ch",
        "sh", "pl", "", "", "th",
    ];
    const NUCLEI: [&str; 10] = ["a", "e", "i", "o", "u", "e", "a", "ea", "ou", "io"];
    const CODAS: [&str; 12] = ["", "", "", "n", "r", "s", "t", "l", "nd", "m", "ng", "st"];
    let syllables = match rank {
        0..100 => 1,
        100..2000 => 1 + chance.below(2),
        _ => 2 + chance.below(3),
    };
    let mut word = String::new();
    for _ in 0..syllables {
        word.push_str(ONSETS[chance.below(ONSETS.len())]);
        word.push_str(NUCLEI[chance.below(NUCLEI.len())]);
        word.push_str(CODAS[chance.below(CODAS.len())]);
    }
    word
}

/// For each of [`SLOTS`] equally likely slots a rank, so that rank r comes with a probability near 1/(r+1).
fn zipf(ranks: usize) -> Vec<u16> {
    #[allow(clippy::cast_precision_loss)]
    let weight = |rank: usize| 1.0 / (rank as f64 + 1.0);
    let total: f64 = (0..ranks).map(weight).sum();
    let mut slots = Vec::with_capacity(SLOTS);
    let mut sum = 0.0;
    for rank in 0..ranks {
        sum += weight(rank);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let end = ((sum / total) * SLOTS as f64) as usize;
        while slots.len() < end.min(SLOTS) {
            slots.push(u16::try_from(rank).expect("BUG: fewer than 65,536 ranks"));
        }
    }
    slots.resize(SLOTS, 0);
    slots
}
