//! Calendar months of UTC, from milliseconds since 1970. Pure.

const DAY_MS: u64 = 86_400_000;

/// Year and month of a day, counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date
/// algorithms").
fn year_and_month(day: u64) -> (u64, u64) {
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month)
}

/// `2026-11`
pub(crate) fn of(ms: u64) -> String {
    let (year, month) = year_and_month(ms / DAY_MS);
    format!("{year:04}-{month:02}")
}

/// The moment at which the month of `ms` is over and the next begins.
pub(crate) fn end(ms: u64) -> u64 {
    let today = ms / DAY_MS;
    let this = year_and_month(today);
    let days = (1..32).find(|ahead| year_and_month(today + ahead) != this).unwrap_or(31);
    (today + days) * DAY_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_11_a_month_begins_where_the_one_before_ends() {
        for (ms, month, ends) in [
            (0, "1970-01", 2_678_400_000),
            (1_700_000_000_000, "2023-11", 1_701_388_800_000), // → 2023-12-01
            (1_701_388_799_999, "2023-11", 1_701_388_800_000),
            (1_701_388_800_000, "2023-12", 1_704_067_200_000), // → 2024-01-01
            (1_709_164_800_000, "2024-02", 1_709_251_200_000), // 29 February → 2024-03-01
        ] {
            assert_eq!((of(ms).as_str(), end(ms)), (month, ends), "{ms}");
        }
    }
}
