<?php
// SPDX-License-Identifier: Apache-2.0
// A page for php-fpm.

function cpu_ms(): float
{
    $usage = getrusage();
    return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1e3 + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e3;
}

function burn(float $ms): void
{
    $end = cpu_ms() + $ms;
    for ($total = 0; cpu_ms() < $end; ) {
        for ($i = 0; $i < 1000; $i++) {
            $total = ($total * 31 + $i) & 0xffff;
        }
    }
}

$ms = (float) ($_GET['ms'] ?? 0);
match (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    '/burn' => burn($ms),
    '/block' => usleep((int) ($ms * 1000)),
    default => null,
};
echo "ok\n";
