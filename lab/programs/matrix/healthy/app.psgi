# SPDX-License-Identifier: Apache-2.0
# A PSGI application, for starman.
sub { [ 200, [ 'Content-Type' => 'text/plain', 'Content-Length' => 3 ], ["ok\n"] ] };
