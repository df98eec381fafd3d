// SPDX-License-Identifier: Apache-2.0

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.TreeMap;
import java.util.concurrent.Executors;

/** The JDK's HTTP server with a pool of four threads: each request sorts and allocates for a millisecond or two. */
public class Busy {
    static int work(int n) {
        var prices = new TreeMap<Integer, String>();
        int seed = n;
        for (int i = 0; i < 10_000; i++) {
            seed = seed * 1103515245 + 12345;
            prices.put(seed, "price");
        }
        return prices.firstKey();
    }

    public static void main(String[] args) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 128);
        server.setExecutor(Executors.newFixedThreadPool(4));
        server.createContext("/", exchange -> {
            byte[] body = ("" + work(exchange.hashCode())).getBytes();
            exchange.sendResponseHeaders(200, body.length);
            try (var out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
        System.out.println("listening 127.0.0.1:" + server.getAddress().getPort());
    }
}
