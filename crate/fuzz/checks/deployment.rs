//! A deployment file from anywhere.

use piecework::native::deployment::{
    Deployment, EXIT_DELAYS, MAX_DECIMALS, MAX_FILE_LEN, MAX_SYMBOL_LEN, shown_symbol,
};

/// What is read is within its bounds, is read the same when it is written, and shows nothing that a terminal obeys.
pub fn deployment(data: &[u8]) {
    match Deployment::parse(data) {
        Ok(read) => {
            assert!(data.len() <= MAX_FILE_LEN);
            assert!((1..1 << 53).contains(&read.chain_id) && read.vault.block < 1 << 53);
            assert!(EXIT_DELAYS.contains(&read.vault.exit_delay));
            assert!(read.token.decimals <= MAX_DECIMALS);
            assert!(read.token.symbol.chars().count() <= MAX_SYMBOL_LEN);
            assert_eq!(
                shown_symbol(&read.token.symbol).as_ref(),
                Some(&read.token.symbol)
            );
            let written = read.to_json();
            assert_eq!(Deployment::parse(written.as_bytes()), Ok(read));
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.chars().count() < 300 && !said.chars().any(char::is_control));
        }
    }
    // A token may call itself anything.
    if let Some(symbol) = shown_symbol(&String::from_utf8_lossy(data)) {
        assert!((1..=MAX_SYMBOL_LEN).contains(&symbol.chars().count()));
        assert!(!symbol.chars().any(char::is_control));
    }
}
