import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Requests a render and waits for its end, with Kafka's Java client. Both files are in the input bucket already.
 *
 * <p>Run, with kafka-clients, jackson-databind and slf4j-api on the class path:
 * {@code java -cp 'jars/*' ProduceRequest.java default/me.jpg default/speech.wav}
 */
public class ProduceRequest {
  private static final String TENANT = "default";
  private static final Duration TIMEOUT = Duration.ofMinutes(5);
  private static final Duration METADATA_REFRESH = Duration.ofSeconds(2);
  private static final Set<String> TERMINAL = Set.of("done", "rejected", "failed");
  private static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    if (args.length != 2) {
      System.err.println("usage: ProduceRequest PORTRAIT_KEY SPEECH_KEY");
      System.exit(2);
    }
    String brokers = System.getenv("KAFKA_BOOTSTRAP_SERVERS");
    if (brokers == null || brokers.isBlank()) {
      System.err.println("KAFKA_BOOTSTRAP_SERVERS is not set: it names the brokers, as host:port,host:port");
      System.exit(2);
    }
    String prefix = System.getenv().getOrDefault("LIPSTAGE_TOPIC_PREFIX", "");
    String jobId = UUID.randomUUID().toString();
    Map<String, Object> request =
        Map.of(
            "job_id", jobId,
            "tenant", TENANT,
            "portrait", Map.of("bucket", "inputs", "key", args[0]),
            "speech", Map.of("bucket", "inputs", "key", args[1]),
            "params", Map.of("dynamic_scale", 1.1));
    Map<String, Object> config = Map.of("bootstrap.servers", brokers, "acks", "all");

    try (var events = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
        var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
      // Listen from now on: every partition, no consumer group.
      Set<TopicPartition> known = partitions(events, prefix + "render.events");
      events.assign(known);
      events.seekToEnd(known);
      known.forEach(events::position); // seekToEnd is lazy; this fixes the positions before the request is sent.

      // The record's key is the job id. get() waits for the broker's confirmation.
      producer.send(new ProducerRecord<>(prefix + "render.requests", jobId, JSON.writeValueAsString(request))).get();

      JsonNode end = waitForEnd(events, prefix + "render.events", known, jobId);
      if (end == null) {
        System.err.println("the job has not ended after " + TIMEOUT.toSeconds() + " s");
        System.exit(1);
      } else if (end.path("type").asText().equals("done")) {
        JsonNode video = end.path("video");
        System.out.println("video: " + video.path("bucket").asText() + " " + video.path("key").asText());
      } else {
        // As JSON: a message may repeat text of others, which must not control this terminal.
        System.err.println(end.path("code").asText() + ": " + JSON.writeValueAsString(end.path("message")));
        System.exit(1);
      }
    }
  }

  /** Prints the job's events and returns its terminal event; null after TIMEOUT. */
  private static JsonNode waitForEnd(
      KafkaConsumer<String, String> events, String topic, Set<TopicPartition> known, String jobId) throws Exception {
    Instant deadline = Instant.now().plus(TIMEOUT);
    Instant refreshAt = Instant.now().plus(METADATA_REFRESH);
    while (Instant.now().isBefore(deadline)) {
      if (Instant.now().isAfter(refreshAt)) { // Partitions that were added are read from their beginning.
        refreshAt = Instant.now().plus(METADATA_REFRESH);
        Set<TopicPartition> added = partitions(events, topic);
        added.removeAll(known);
        if (!added.isEmpty()) {
          known.addAll(added);
          events.assign(known);
          events.seekToBeginning(added);
        }
      }
      for (ConsumerRecord<String, String> record : events.poll(Duration.ofSeconds(1))) {
        if (!jobId.equals(record.key())) {
          continue;
        }
        JsonNode event = JSON.readTree(record.value());
        // Another tenant may use the same job id.
        if (!TENANT.equals(event.path("tenant").asText())) {
          continue;
        }
        System.out.println(event.path("type").asText() + " " + event.path("stage").asText());
        if (TERMINAL.contains(event.path("type").asText())) {
          return event;
        }
      }
    }
    return null;
  }

  private static Set<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic) {
    Set<TopicPartition> found = new HashSet<>();
    List<PartitionInfo> infos = consumer.partitionsFor(topic, Duration.ofSeconds(10));
    for (PartitionInfo info : infos) {
      found.add(new TopicPartition(topic, info.partition()));
    }
    return found;
  }
}
