//! One form for names that are equal to a case-insensitive file system.
//!
//! It is the lower, upper and lower case of the standard library one after the other, because capital sharp s, sharp s
//! and `ss` must come out the same. It has its own table because the library's tables weigh far more in a page
//! (docs/decisions/042-small-readers-of-our-own.md). The table has only the changes of that chain, as runs. A test
//! compares every character.

/// First character, last one, the distance between them, and the number to add. In order.
const RUNS: &[(u32, u32, u8, i32)] = &[
    (0x41, 0x5a, 1, 32),
    (0xb5, 0xb5, 1, 775),
    (0xc0, 0xd6, 1, 32),
    (0xd8, 0xde, 1, 32),
    (0x100, 0x12e, 2, 1),
    (0x131, 0x131, 1, -200),
    (0x132, 0x136, 2, 1),
    (0x139, 0x147, 2, 1),
    (0x14a, 0x176, 2, 1),
    (0x178, 0x178, 1, -121),
    (0x179, 0x17d, 2, 1),
    (0x17f, 0x17f, 1, -268),
    (0x181, 0x181, 1, 210),
    (0x182, 0x184, 2, 1),
    (0x186, 0x186, 1, 206),
    (0x187, 0x187, 1, 1),
    (0x189, 0x18a, 1, 205),
    (0x18b, 0x18b, 1, 1),
    (0x18e, 0x18e, 1, 79),
    (0x18f, 0x18f, 1, 202),
    (0x190, 0x190, 1, 203),
    (0x191, 0x191, 1, 1),
    (0x193, 0x193, 1, 205),
    (0x194, 0x194, 1, 207),
    (0x196, 0x196, 1, 211),
    (0x197, 0x197, 1, 209),
    (0x198, 0x198, 1, 1),
    (0x19c, 0x19c, 1, 211),
    (0x19d, 0x19d, 1, 213),
    (0x19f, 0x19f, 1, 214),
    (0x1a0, 0x1a4, 2, 1),
    (0x1a6, 0x1a6, 1, 218),
    (0x1a7, 0x1a7, 1, 1),
    (0x1a9, 0x1a9, 1, 218),
    (0x1ac, 0x1ac, 1, 1),
    (0x1ae, 0x1ae, 1, 218),
    (0x1af, 0x1af, 1, 1),
    (0x1b1, 0x1b2, 1, 217),
    (0x1b3, 0x1b5, 2, 1),
    (0x1b7, 0x1b7, 1, 219),
    (0x1b8, 0x1b8, 1, 1),
    (0x1bc, 0x1bc, 1, 1),
    (0x1c4, 0x1c4, 1, 2),
    (0x1c5, 0x1c5, 1, 1),
    (0x1c7, 0x1c7, 1, 2),
    (0x1c8, 0x1c8, 1, 1),
    (0x1ca, 0x1ca, 1, 2),
    (0x1cb, 0x1db, 2, 1),
    (0x1de, 0x1ee, 2, 1),
    (0x1f1, 0x1f1, 1, 2),
    (0x1f2, 0x1f4, 2, 1),
    (0x1f6, 0x1f6, 1, -97),
    (0x1f7, 0x1f7, 1, -56),
    (0x1f8, 0x21e, 2, 1),
    (0x220, 0x220, 1, -130),
    (0x222, 0x232, 2, 1),
    (0x23a, 0x23a, 1, 10795),
    (0x23b, 0x23b, 1, 1),
    (0x23d, 0x23d, 1, -163),
    (0x23e, 0x23e, 1, 10792),
    (0x241, 0x241, 1, 1),
    (0x243, 0x243, 1, -195),
    (0x244, 0x244, 1, 69),
    (0x245, 0x245, 1, 71),
    (0x246, 0x24e, 2, 1),
    (0x345, 0x345, 1, 116),
    (0x370, 0x372, 2, 1),
    (0x376, 0x376, 1, 1),
    (0x37f, 0x37f, 1, 116),
    (0x386, 0x386, 1, 38),
    (0x388, 0x38a, 1, 37),
    (0x38c, 0x38c, 1, 64),
    (0x38e, 0x38f, 1, 63),
    (0x391, 0x3a1, 1, 32),
    (0x3a3, 0x3ab, 1, 32),
    (0x3c2, 0x3c2, 1, 1),
    (0x3cf, 0x3cf, 1, 8),
    (0x3d0, 0x3d0, 1, -30),
    (0x3d1, 0x3d1, 1, -25),
    (0x3d5, 0x3d5, 1, -15),
    (0x3d6, 0x3d6, 1, -22),
    (0x3d8, 0x3ee, 2, 1),
    (0x3f0, 0x3f0, 1, -54),
    (0x3f1, 0x3f1, 1, -48),
    (0x3f4, 0x3f4, 1, -60),
    (0x3f5, 0x3f5, 1, -64),
    (0x3f7, 0x3f7, 1, 1),
    (0x3f9, 0x3f9, 1, -7),
    (0x3fa, 0x3fa, 1, 1),
    (0x3fd, 0x3ff, 1, -130),
    (0x400, 0x40f, 1, 80),
    (0x410, 0x42f, 1, 32),
    (0x460, 0x480, 2, 1),
    (0x48a, 0x4be, 2, 1),
    (0x4c0, 0x4c0, 1, 15),
    (0x4c1, 0x4cd, 2, 1),
    (0x4d0, 0x52e, 2, 1),
    (0x531, 0x556, 1, 48),
    (0x10a0, 0x10c5, 1, 7264),
    (0x10c7, 0x10c7, 1, 7264),
    (0x10cd, 0x10cd, 1, 7264),
    (0x13a0, 0x13ef, 1, 38864),
    (0x13f0, 0x13f5, 1, 8),
    (0x1c80, 0x1c80, 1, -6222),
    (0x1c81, 0x1c81, 1, -6221),
    (0x1c82, 0x1c82, 1, -6212),
    (0x1c83, 0x1c84, 1, -6210),
    (0x1c85, 0x1c85, 1, -6211),
    (0x1c86, 0x1c86, 1, -6204),
    (0x1c87, 0x1c87, 1, -6180),
    (0x1c88, 0x1c88, 1, 35267),
    (0x1c89, 0x1c89, 1, 1),
    (0x1c90, 0x1cba, 1, -3008),
    (0x1cbd, 0x1cbf, 1, -3008),
    (0x1e00, 0x1e94, 2, 1),
    (0x1e9b, 0x1e9b, 1, -58),
    (0x1ea0, 0x1efe, 2, 1),
    (0x1f08, 0x1f0f, 1, -8),
    (0x1f18, 0x1f1d, 1, -8),
    (0x1f28, 0x1f2f, 1, -8),
    (0x1f38, 0x1f3f, 1, -8),
    (0x1f48, 0x1f4d, 1, -8),
    (0x1f59, 0x1f5f, 2, -8),
    (0x1f68, 0x1f6f, 1, -8),
    (0x1fb8, 0x1fb9, 1, -8),
    (0x1fba, 0x1fbb, 1, -74),
    (0x1fbe, 0x1fbe, 1, -7173),
    (0x1fc8, 0x1fcb, 1, -86),
    (0x1fd8, 0x1fd9, 1, -8),
    (0x1fda, 0x1fdb, 1, -100),
    (0x1fe8, 0x1fe9, 1, -8),
    (0x1fea, 0x1feb, 1, -112),
    (0x1fec, 0x1fec, 1, -7),
    (0x1ff8, 0x1ff9, 1, -128),
    (0x1ffa, 0x1ffb, 1, -126),
    (0x2126, 0x2126, 1, -7517),
    (0x212a, 0x212a, 1, -8383),
    (0x212b, 0x212b, 1, -8262),
    (0x2132, 0x2132, 1, 28),
    (0x2160, 0x216f, 1, 16),
    (0x2183, 0x2183, 1, 1),
    (0x24b6, 0x24cf, 1, 26),
    (0x2c00, 0x2c2f, 1, 48),
    (0x2c60, 0x2c60, 1, 1),
    (0x2c62, 0x2c62, 1, -10743),
    (0x2c63, 0x2c63, 1, -3814),
    (0x2c64, 0x2c64, 1, -10727),
    (0x2c67, 0x2c6b, 2, 1),
    (0x2c6d, 0x2c6d, 1, -10780),
    (0x2c6e, 0x2c6e, 1, -10749),
    (0x2c6f, 0x2c6f, 1, -10783),
    (0x2c70, 0x2c70, 1, -10782),
    (0x2c72, 0x2c72, 1, 1),
    (0x2c75, 0x2c75, 1, 1),
    (0x2c7e, 0x2c7f, 1, -10815),
    (0x2c80, 0x2ce2, 2, 1),
    (0x2ceb, 0x2ced, 2, 1),
    (0x2cf2, 0x2cf2, 1, 1),
    (0xa640, 0xa66c, 2, 1),
    (0xa680, 0xa69a, 2, 1),
    (0xa722, 0xa72e, 2, 1),
    (0xa732, 0xa76e, 2, 1),
    (0xa779, 0xa77b, 2, 1),
    (0xa77d, 0xa77d, 1, -35332),
    (0xa77e, 0xa786, 2, 1),
    (0xa78b, 0xa78b, 1, 1),
    (0xa78d, 0xa78d, 1, -42280),
    (0xa790, 0xa792, 2, 1),
    (0xa796, 0xa7a8, 2, 1),
    (0xa7aa, 0xa7aa, 1, -42308),
    (0xa7ab, 0xa7ab, 1, -42319),
    (0xa7ac, 0xa7ac, 1, -42315),
    (0xa7ad, 0xa7ad, 1, -42305),
    (0xa7ae, 0xa7ae, 1, -42308),
    (0xa7b0, 0xa7b0, 1, -42258),
    (0xa7b1, 0xa7b1, 1, -42282),
    (0xa7b2, 0xa7b2, 1, -42261),
    (0xa7b3, 0xa7b3, 1, 928),
    (0xa7b4, 0xa7c2, 2, 1),
    (0xa7c4, 0xa7c4, 1, -48),
    (0xa7c5, 0xa7c5, 1, -42307),
    (0xa7c6, 0xa7c6, 1, -35384),
    (0xa7c7, 0xa7c9, 2, 1),
    (0xa7cb, 0xa7cb, 1, -42343),
    (0xa7cc, 0xa7da, 2, 1),
    (0xa7dc, 0xa7dc, 1, -42561),
    (0xa7f5, 0xa7f5, 1, 1),
    (0xff21, 0xff3a, 1, 32),
    (0x10400, 0x10427, 1, 40),
    (0x104b0, 0x104d3, 1, 40),
    (0x10570, 0x1057a, 1, 39),
    (0x1057c, 0x1058a, 1, 39),
    (0x1058c, 0x10592, 1, 39),
    (0x10594, 0x10595, 1, 39),
    (0x10c80, 0x10cb2, 1, 64),
    (0x10d50, 0x10d65, 1, 32),
    (0x118a0, 0x118bf, 1, 32),
    (0x16e40, 0x16e5f, 1, 32),
    (0x16ea0, 0x16eb8, 1, 27),
    (0x1e900, 0x1e921, 1, 34),
];

/// A character and the several that it becomes, parted by spaces.
const SEVERAL: &str = "\
    \u{df}ss \u{130}i\u{307} \u{149}\u{2bc}n \u{1f0}j\u{30c} \u{390}\u{3b9}\u{308}\u{301} \
    \u{3b0}\u{3c5}\u{308}\u{301} \u{587}\u{565}\u{582} \u{1e96}h\u{331} \u{1e97}t\u{308} \
    \u{1e98}w\u{30a} \u{1e99}y\u{30a} \u{1e9a}a\u{2be} \u{1e9e}ss \u{1f50}\u{3c5}\u{313} \
    \u{1f52}\u{3c5}\u{313}\u{300} \u{1f54}\u{3c5}\u{313}\u{301} \u{1f56}\u{3c5}\u{313}\u{342} \
    \u{1f80}\u{1f00}\u{3b9} \u{1f81}\u{1f01}\u{3b9} \u{1f82}\u{1f02}\u{3b9} \u{1f83}\u{1f03}\u{3b9} \
    \u{1f84}\u{1f04}\u{3b9} \u{1f85}\u{1f05}\u{3b9} \u{1f86}\u{1f06}\u{3b9} \u{1f87}\u{1f07}\u{3b9} \
    \u{1f88}\u{1f00}\u{3b9} \u{1f89}\u{1f01}\u{3b9} \u{1f8a}\u{1f02}\u{3b9} \u{1f8b}\u{1f03}\u{3b9} \
    \u{1f8c}\u{1f04}\u{3b9} \u{1f8d}\u{1f05}\u{3b9} \u{1f8e}\u{1f06}\u{3b9} \u{1f8f}\u{1f07}\u{3b9} \
    \u{1f90}\u{1f20}\u{3b9} \u{1f91}\u{1f21}\u{3b9} \u{1f92}\u{1f22}\u{3b9} \u{1f93}\u{1f23}\u{3b9} \
    \u{1f94}\u{1f24}\u{3b9} \u{1f95}\u{1f25}\u{3b9} \u{1f96}\u{1f26}\u{3b9} \u{1f97}\u{1f27}\u{3b9} \
    \u{1f98}\u{1f20}\u{3b9} \u{1f99}\u{1f21}\u{3b9} \u{1f9a}\u{1f22}\u{3b9} \u{1f9b}\u{1f23}\u{3b9} \
    \u{1f9c}\u{1f24}\u{3b9} \u{1f9d}\u{1f25}\u{3b9} \u{1f9e}\u{1f26}\u{3b9} \u{1f9f}\u{1f27}\u{3b9} \
    \u{1fa0}\u{1f60}\u{3b9} \u{1fa1}\u{1f61}\u{3b9} \u{1fa2}\u{1f62}\u{3b9} \u{1fa3}\u{1f63}\u{3b9} \
    \u{1fa4}\u{1f64}\u{3b9} \u{1fa5}\u{1f65}\u{3b9} \u{1fa6}\u{1f66}\u{3b9} \u{1fa7}\u{1f67}\u{3b9} \
    \u{1fa8}\u{1f60}\u{3b9} \u{1fa9}\u{1f61}\u{3b9} \u{1faa}\u{1f62}\u{3b9} \u{1fab}\u{1f63}\u{3b9} \
    \u{1fac}\u{1f64}\u{3b9} \u{1fad}\u{1f65}\u{3b9} \u{1fae}\u{1f66}\u{3b9} \u{1faf}\u{1f67}\u{3b9} \
    \u{1fb2}\u{1f70}\u{3b9} \u{1fb3}\u{3b1}\u{3b9} \u{1fb4}\u{3ac}\u{3b9} \u{1fb6}\u{3b1}\u{342} \
    \u{1fb7}\u{3b1}\u{342}\u{3b9} \u{1fbc}\u{3b1}\u{3b9} \u{1fc2}\u{1f74}\u{3b9} \
    \u{1fc3}\u{3b7}\u{3b9} \u{1fc4}\u{3ae}\u{3b9} \u{1fc6}\u{3b7}\u{342} \
    \u{1fc7}\u{3b7}\u{342}\u{3b9} \u{1fcc}\u{3b7}\u{3b9} \u{1fd2}\u{3b9}\u{308}\u{300} \
    \u{1fd3}\u{3b9}\u{308}\u{301} \u{1fd6}\u{3b9}\u{342} \u{1fd7}\u{3b9}\u{308}\u{342} \
    \u{1fe2}\u{3c5}\u{308}\u{300} \u{1fe3}\u{3c5}\u{308}\u{301} \u{1fe4}\u{3c1}\u{313} \
    \u{1fe6}\u{3c5}\u{342} \u{1fe7}\u{3c5}\u{308}\u{342} \u{1ff2}\u{1f7c}\u{3b9} \
    \u{1ff3}\u{3c9}\u{3b9} \u{1ff4}\u{3ce}\u{3b9} \u{1ff6}\u{3c9}\u{342} \
    \u{1ff7}\u{3c9}\u{342}\u{3b9} \u{1ffc}\u{3c9}\u{3b9} \u{fb00}ff \u{fb01}fi \u{fb02}fl \
    \u{fb03}ffi \u{fb04}ffl \u{fb05}st \u{fb06}st \u{fb13}\u{574}\u{576} \u{fb14}\u{574}\u{565} \
    \u{fb15}\u{574}\u{56b} \u{fb16}\u{57e}\u{576} \u{fb17}\u{574}\u{56d}";

/// The folded form of a name.
pub(super) fn fold(name: &str) -> String {
    let mut folded = String::with_capacity(name.len());
    for c in name.chars() {
        push(c, &mut folded);
    }
    folded
}

fn push(c: char, folded: &mut String) {
    let code = c as u32;
    let at = RUNS.partition_point(|(_, last, ..)| *last < code);
    if let Some((first, _, step, add)) = RUNS.get(at)
        && code >= *first
        && (code - first).is_multiple_of(u32::from(*step))
        && let Some(other) = code.checked_add_signed(*add).and_then(char::from_u32)
    {
        folded.push(other);
        return;
    }
    if !c.is_ascii()
        && let Some(several) = (SEVERAL.split(' ')).find_map(|entry| entry.strip_prefix(c))
    {
        folded.push_str(several);
        return;
    }
    folded.push(c);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Unicode version of the tables. No later version changes the folding of a character; later versions only add
    /// some.
    const UNICODE: (u8, u8, u8) = (17, 0, 0);

    fn by_the_library(c: char) -> String {
        c.to_lowercase()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect()
    }

    #[test]
    fn every_character_folds_as_the_standard_library_would_fold_it() {
        let mut changed = 0;
        for c in '\0'..=char::MAX {
            let ours = fold(c.encode_utf8(&mut [0; 4]));
            let expected = by_the_library(c);
            let alone = c.to_string();
            changed += u32::from(ours != alone);
            let newer = char::UNICODE_VERSION > UNICODE && ours == alone;
            let older = char::UNICODE_VERSION < UNICODE && expected == alone;
            assert!(ours == expected || newer || older, "{c:?}: {ours:?}");
        }
        assert_eq!(changed, 1482 + 104);
    }

    #[test]
    fn a_name_folds_character_by_character() {
        assert_eq!(fold("STRASSE \u{1e9e}.MP4"), fold("stra\u{df}e ss.mp4"));
        assert_eq!(fold("\u{130}"), "i\u{307}");
    }
}
