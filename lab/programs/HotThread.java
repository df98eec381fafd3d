// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A multi-threaded server all of whose work one thread does. No event loop.
 *
 * Started with "engine": a thread for each connection, which hands its requests
 * to the engine and waits: the single writer of order books, schedulers and
 * simulations. What queues, queues in memory.
 *
 * Started with "acceptor": the thread that accepts also answers, one
 * connection at a time, and leaves only its log to a pool. What queues, queues
 * in the listener's backlog.
 */
public class HotThread {
    record Order(int size, CompletableFuture<Long> done) {}

    /** SIZE of each request: very roughly ten milliseconds. */
    static final int SIZE = 10;

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

    /** readRequest returns false at the end of the connection. */
    static boolean readRequest(BufferedReader in) throws IOException {
        if (in.readLine() == null) {
            return false;
        }
        for (String line = in.readLine(); line != null && !line.isEmpty(); line = in.readLine()) {}
        return true;
    }

    static void write(Socket socket, long result) throws IOException {
        String body = result + "\n";
        // A single write: a second one would wait for the client's delayed acknowledgement.
        socket.getOutputStream().write(("HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n\r\n" + body).getBytes());
    }

    static void serve(Socket socket) {
        try (socket) {
            var in = new BufferedReader(new InputStreamReader(socket.getInputStream()));
            while (readRequest(in)) {
                var done = new CompletableFuture<Long>();
                orders.put(new Order(SIZE, done));
                write(socket, done.get());
            }
        } catch (Exception gone) {
            return;
        }
    }

    static void runEngine(ServerSocket listener) throws IOException {
        new Thread(HotThread::engine, "engine").start();
        for (int n = 0; ; n++) {
            Socket socket = listener.accept();
            new Thread(() -> serve(socket), "connection-" + n).start();
        }
    }

    static void runAcceptor(ServerSocket listener) {
        var log = Executors.newFixedThreadPool(4);
        var answered = new AtomicLong();
        while (true) {
            try (Socket socket = listener.accept()) {
                if (readRequest(new BufferedReader(new InputStreamReader(socket.getInputStream())))) {
                    write(socket, match(SIZE));
                    log.submit(answered::incrementAndGet);
                }
            } catch (IOException gone) {
                continue;
            }
        }
    }

    public static void main(String[] args) throws Exception {
        var listener = new ServerSocket(0, 128, InetAddress.getLoopbackAddress());
        System.out.println("listening 127.0.0.1:" + listener.getLocalPort());
        if (args[0].equals("engine")) {
            runEngine(listener);
        }
        var acceptor = new Thread(() -> runAcceptor(listener), "acceptor");
        acceptor.start();
    }
}
