// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * A server with a thread for each connection, all of which hand their requests
 * to one "engine" thread: the single writer of many order books, schedulers
 * and simulations. No event loop: the connections' threads block in read, the
 * engine in take.
 */
public class HotThread {
    record Order(int size, CompletableFuture<Long> done) {}

    static final LinkedBlockingQueue<Order> orders = new LinkedBlockingQueue<>();

    /** match takes very roughly as many milliseconds as its argument says. */
    static long match(int size) {
        long hash = size;
        for (long i = 0; i < size * 600_000L; i++) {
            hash = hash * 6364136223846793005L + 1442695040888963407L;
            hash ^= hash >>> 29;
        }
        return hash;
    }

    static void engine() {
        try {
            while (true) {
                Order order = orders.take();
                order.done().complete(match(order.size()));
            }
        } catch (InterruptedException stop) {
            return;
        }
    }

    static void serve(Socket socket) {
        try (socket) {
            var in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            var out = socket.getOutputStream();
            while (in.readLine() != null) {
                for (String line = in.readLine(); line != null && !line.isEmpty(); line = in.readLine()) {}
                var done = new CompletableFuture<Long>();
                orders.put(new Order(10, done));
                byte[] body = (done.get() + "\n").getBytes();
                out.write(("HTTP/1.1 200 OK\r\nContent-Length: " + body.length + "\r\n\r\n").getBytes());
                out.write(body);
            }
        } catch (Exception gone) {
            return;
        }
    }

    public static void main(String[] args) throws Exception {
        new Thread(HotThread::engine, "engine").start();
        var listener = new ServerSocket(0, 128, InetAddress.getLoopbackAddress());
        System.out.println("listening 127.0.0.1:" + listener.getLocalPort());
        for (int n = 0; ; n++) {
            Socket socket = listener.accept();
            new Thread(() -> serve(socket), "connection-" + n).start();
        }
    }
}
