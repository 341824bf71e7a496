// Kafka Streams: per-user 5-minute tumbling windows, one output per input event, RocksDB and a changelog.
import com.fasterxml.jackson.databind.ObjectMapper;
import java.time.Duration;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

public class ClickWindows {
  static final ObjectMapper JSON = new ObjectMapper();
  static final Set<String> ACTIONS = Set.of("view", "add_to_cart", "purchase");

  public static class Click { public String event_id, user_id, item_id, type; public long event_time, dwell_ms; }

  public static class Sums { public long count, dwell_sum, carts, purchases; public String event_id; }

  public static class Count {
    public String event_id, user_id;
    public long window_start, count, dwell_sum, carts, purchases;
  }

  static <T> Serde<T> json(Class<T> type) {
    return Serdes.serdeFrom(
        (topic, value) -> {
          try { return value == null ? null : JSON.writeValueAsBytes(value); }
          catch (Exception e) { throw new RuntimeException(e); }
        },
        (topic, bytes) -> {
          try { return bytes == null ? null : JSON.readValue(bytes, type); } catch (Exception e) { return null; }
        });
  }

  static boolean valid(Click c) {
    return c != null && c.user_id != null && !c.user_id.isEmpty() && c.event_id != null && c.item_id != null
        && c.dwell_ms >= 0 && ACTIONS.contains(c.type);
  }

  static Sums add(Sums sums, Click c) {
    sums.count++;
    sums.dwell_sum += c.dwell_ms;
    sums.event_id = c.event_id;
    if (c.type.equals("add_to_cart")) sums.carts++;
    else if (c.type.equals("purchase")) sums.purchases++;
    return sums;
  }

  static Count answer(String user, long start, Sums sums) {
    Count out = new Count();
    out.user_id = user;
    out.event_id = sums.event_id;
    out.window_start = start;
    out.count = sums.count;
    out.dwell_sum = sums.dwell_sum;
    out.carts = sums.carts;
    out.purchases = sums.purchases;
    return out;
  }

  public static void main(String[] arguments) {
    var env = System.getenv();
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, env.get("BENCH_NAME"));
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, env.get("BENCH_BROKER"));
    p.put(StreamsConfig.STATE_DIR_CONFIG, env.get("BENCH_FOLDER") + "/state");
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);  // every update is emitted
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, env.get("BENCH_GUARANTEE"));
    if (env.get("BENCH_GUARANTEE").equals("at_least_once")) p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    p.put("auto.offset.reset", "earliest");
    p.put("producer.compression.type", "zstd");
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(env.get("BENCH_SOURCE"), Consumed.with(Serdes.String(), json(Click.class))
            .withTimestampExtractor((r, before) -> r.value() instanceof Click c ? c.event_time : r.timestamp()))
        .filter((user, c) -> valid(c))
        .groupByKey(Grouped.with(Serdes.String(), json(Click.class)))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMinutes(5), Duration.ofMinutes(5)))
        .aggregate(Sums::new, (user, c, sums) -> add(sums, c),
            Materialized.<String, Sums, WindowStore<Bytes, byte[]>>as("windows")
                .withKeySerde(Serdes.String()).withValueSerde(json(Sums.class)))
        .toStream((window, sums) -> window)
        .map((w, sums) -> KeyValue.pair(w.key(), answer(w.key(), w.window().start(), sums)))
        .to(env.get("BENCH_OUTPUT"), Produced.with(Serdes.String(), json(Count.class)));
    KafkaStreams streams = new KafkaStreams(builder.build(), p);
    Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
    streams.start();
  }
}
