// The same as transfer.py with Java's own client.
//
//   java Transfer.java HOST
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;

class Transfer {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] args) throws Exception {
        String url = "https://" + args[0];
        HttpResponse<byte[]> down = ask("GET", url + "/ok/down", BodyPublishers.noBody());
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(down.body());
        System.out.println(down.version() + " " + HexFormat.of().formatHex(digest));
        System.out.println(new String(ask("PUT", url + "/ok/up", BodyPublishers.ofFile(Path.of("up"))).body()));
        HttpResponse<byte[]> no = ask("GET", url + "/no", BodyPublishers.noBody());
        String reason = new String(no.body()).replaceFirst("(?s)^.*\"reason\":\\s*\"([a-z_]+)\".*", "$1");
        System.out.println(no.statusCode() + " " + reason);
    }

    static HttpResponse<byte[]> ask(String method, String url, BodyPublisher body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Authorization", "Bearer " + System.getenv("LAB_TOKEN"))
                .method(method, body)
                .build();
        return CLIENT.send(request, BodyHandlers.ofByteArray());
    }
}
