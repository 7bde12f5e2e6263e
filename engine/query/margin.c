/* margin.c: the margin in percent, exactly: R0(x) = floor(x + 1/2) in integers. */
#include "query/query.h"

static i128 floor_divide(i128 dividend, i128 divisor) {
    i128 quotient = dividend / divisor;
    return dividend % divisor < 0 ? quotient - 1 : quotient;
}

bool margin_percent(i128 cost, i128 revenue, i128 *percent) {
    if (revenue <= 0) {
        return false;
    }
    const i128 small = (i128)1 << 53; /* nine thousand dollars: most sums, without long division */
    if (revenue < small && cost < small && cost > -small) {
        i64 dividend = (i64)(revenue - cost) * 200 + (i64)revenue;
        i64 divisor = (i64)revenue * 2;
        *percent = dividend / divisor - (dividend % divisor < 0);
        return true;
    }
    /* floor((revenue - cost) * 100 / revenue + 1/2), with whole percents taken out first so that
     * nothing overflows while sums stay below 2^118. */
    i128 difference = revenue - cost;
    i128 whole = floor_divide(difference, revenue);
    i128 rest = difference - whole * revenue;
    *percent = whole * 100 + (rest * 200 + revenue) / (2 * revenue);
    return true;
}
