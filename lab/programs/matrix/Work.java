// SPDX-License-Identifier: Apache-2.0

import java.lang.management.ManagementFactory;

/** The work of the Java servers. */
final class Work {
	static volatile int sink;

	static void burn(double ms) {
		var threads = ManagementFactory.getThreadMXBean();
		long end = threads.getCurrentThreadCpuTime() + (long) (ms * 1e6);
		while (threads.getCurrentThreadCpuTime() < end) {
			for (int i = 0; i < 100_000; i++) sink = sink * 31 + i;
		}
	}

	static void answer(String uri) throws InterruptedException {
		int at = uri.indexOf("ms=");
		double ms = at < 0 ? 0 : Double.parseDouble(uri.substring(at + 3));
		if (uri.startsWith("/burn")) burn(ms);
		if (uri.startsWith("/block")) Thread.sleep((long) ms);
	}
}
