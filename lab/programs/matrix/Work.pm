# SPDX-License-Identifier: Apache-2.0
package Work;

use nginx;
use Time::HiRes;

sub milliseconds { return $_[0]->args =~ /ms=([\d.]+)/ ? $1 : 0 }

sub reply {
    my $r = shift;
    $r->send_http_header("text/plain");
    $r->print("ok\n");
    return OK;
}

sub burn {
    my $r = shift;
    my $end = Time::HiRes::clock() + milliseconds($r) / 1000;
    my $total = 0;
    while (Time::HiRes::clock() < $end) {
        $total = ($total * 31 + $_) & 0xffff for 1 .. 1000;
    }
    return reply($r);
}

sub block {
    my $r = shift;
    Time::HiRes::usleep(1000 * milliseconds($r));
    return reply($r);
}

1;
