-- mix: a number from 0 to 2147483646 that looks unrelated to i (two rounds of a multiplicative generator).
CREATE MACRO mix(i, salt) AS (((i * 48271 + salt * 69621) % 2147483647) * 16807 + salt) % 2147483647;
-- skewed: from 0 to n - 1, the small numbers far more often (the square of an even spread).
CREATE MACRO skewed(u, n) AS ((u // 1024) * (u // 1024) // 2097152) * n // 2097152;
