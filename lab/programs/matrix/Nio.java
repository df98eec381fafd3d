// SPDX-License-Identifier: Apache-2.0

import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/** An HTTP server with one selector thread: Nio PORT */
public class Nio {
	static final byte[] OK = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n".getBytes(StandardCharsets.US_ASCII);

	public static void main(String[] args) throws Exception {
		Selector selector = Selector.open();
		ServerSocketChannel listener = ServerSocketChannel.open();
		listener.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 1024);
		listener.configureBlocking(false);
		listener.register(selector, SelectionKey.OP_ACCEPT);
		while (true) {
			selector.select(key -> {
				try {
					if (key.isAcceptable()) accept(selector, listener);
					else serve(key, (SocketChannel) key.channel());
				} catch (IOException | InterruptedException e) {
					key.cancel();
				}
			});
		}
	}

	static void accept(Selector selector, ServerSocketChannel listener) throws IOException {
		SocketChannel connection = listener.accept();
		if (connection == null) return;
		connection.configureBlocking(false);
		connection.setOption(StandardSocketOptions.TCP_NODELAY, true);
		connection.register(selector, SelectionKey.OP_READ);
	}

	static void serve(SelectionKey key, SocketChannel connection) throws IOException, InterruptedException {
		ByteBuffer request = ByteBuffer.allocate(8192);
		int n = connection.read(request);
		if (n < 0) {
			key.cancel();
			connection.close();
			return;
		}
		Work.answer(new String(request.array(), 0, n, StandardCharsets.US_ASCII).split(" ")[1]);
		connection.write(ByteBuffer.wrap(OK));
	}
}
