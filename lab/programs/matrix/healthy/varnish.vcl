# SPDX-License-Identifier: Apache-2.0
# Each answer is made by varnish itself.
vcl 4.1;

backend none none;

sub vcl_recv {
    return (synth(200, "ok"));
}
