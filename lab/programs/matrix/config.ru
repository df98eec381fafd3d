# SPDX-License-Identifier: Apache-2.0
# A Rack application, for puma.

def burn(ms)
  finish = Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) + ms / 1000
  total = 0
  while Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID) < finish
    1000.times { |i| total = (total * 31 + i) & 0xffff }
  end
end

run lambda { |env|
  ms = env['QUERY_STRING'][/ms=([\d.]+)/, 1].to_f
  case env['PATH_INFO']
  when '/burn' then burn(ms)
  when '/block' then sleep(ms / 1000)
  end
  [200, { 'content-type' => 'text/plain' }, ["ok\n"]]
}
