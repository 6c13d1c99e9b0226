import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.ReduceFunction;
import org.apache.flink.api.common.functions.RuntimeContext;
import org.apache.flink.api.common.state.*;
import org.apache.flink.api.common.typeinfo.*;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.api.java.tuple.*;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.*;
import org.apache.flink.runtime.state.*;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.datastream.*;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.co.KeyedBroadcastProcessFunction;
import org.apache.flink.streaming.api.functions.sink.legacy.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.legacy.*;
import org.apache.flink.util.Collector;

/**
 * The job that wrote tests/fixtures/flink: DIR PARALLELISM KEYS (native|rocksdb|canonical) (plain|snappy), with 128 key groups,
 * or as many as MAXP says. Prints where the savepoint is.
 */
public class Job {
  static final AtomicLong done = new AtomicLong(), rules = new AtomicLong();

  public static class Person {
    public String name;
    public int age;
    public Long id;
    public double score;
    public boolean ok;
    public byte[] raw;
    public Inner inner;
  }

  public static class Inner {
    public short s;
    public float f;
    public char c;
    public byte b;
  }

  public static class Numbers extends RichSourceFunction<Long> implements CheckpointedFunction {
    volatile boolean run = true;
    final long n;
    long i = 0;
    transient ListState<Long> position;
    transient ListState<String> union;

    Numbers(long n) { this.n = n; }

    public void run(SourceContext<Long> to) throws Exception {
      while (run) {
        if (i < n) synchronized (to.getCheckpointLock()) { to.collect(i++); }
        else Thread.sleep(20);
      }
    }

    public void cancel() { run = false; }

    public void snapshotState(FunctionSnapshotContext context) throws Exception {
      position.update(List.of(i));
      union.update(List.of("a", "b\u00e9", "\u6587"));
    }

    public void initializeState(FunctionInitializationContext context) throws Exception {
      position = context.getOperatorStateStore().getListState(new ListStateDescriptor<>("position", Long.class));
      union = context.getOperatorStateStore().getUnionListState(new ListStateDescriptor<>("union", String.class));
    }
  }

  public static class Rules implements SourceFunction<Tuple2<String, Integer>> {
    volatile boolean run = true;

    public void run(SourceContext<Tuple2<String, Integer>> to) throws Exception {
      to.collect(Tuple2.of("r1", 1));
      to.collect(Tuple2.of("r2", 2));
      while (run) Thread.sleep(20);
    }

    public void cancel() { run = false; }
  }

  public static class Keyed extends KeyedBroadcastProcessFunction<String, Long, Tuple2<String, Integer>, String> {
    static final MapStateDescriptor<String, Integer> RULES = new MapStateDescriptor<>("rules", String.class, Integer.class);
    transient ValueState<Long> count;
    transient ValueState<Person> person;
    transient ListState<Integer> list;
    transient MapState<String, Double> map;
    transient ValueState<Tuple2<String, Integer>> tuple;
    transient ValueState<Tuple3<Long, Boolean, String>> t3;
    transient ValueState<byte[]> bytes;
    transient ValueState<Boolean> flag;
    transient ReducingState<Long> sum;
    transient ValueState<String> text;
    transient ValueState<Map<String, List<Long>>> nested;

    @Override public void open(OpenContext context) {
      RuntimeContext r = getRuntimeContext();
      count = r.getState(new ValueStateDescriptor<>("count", Long.class));
      person = r.getState(new ValueStateDescriptor<>("person", TypeInformation.of(Person.class)));
      list = r.getListState(new ListStateDescriptor<>("list", Integer.class));
      map = r.getMapState(new MapStateDescriptor<>("map", String.class, Double.class));
      tuple = r.getState(new ValueStateDescriptor<>("tuple", Types.TUPLE(Types.STRING, Types.INT)));
      t3 = r.getState(new ValueStateDescriptor<>("t3", Types.TUPLE(Types.LONG, Types.BOOLEAN, Types.STRING)));
      bytes = r.getState(new ValueStateDescriptor<>("bytes", byte[].class));
      flag = r.getState(new ValueStateDescriptor<>("flag", Boolean.class));
      text = r.getState(new ValueStateDescriptor<>("text", String.class));
      nested = r.getState(new ValueStateDescriptor<>("nested", Types.MAP(Types.STRING, Types.LIST(Types.LONG))));
      sum = r.getReducingState(new ReducingStateDescriptor<>("sum", (ReduceFunction<Long>) Long::sum, Long.class));
    }

    @Override public void processElement(Long k, ReadOnlyContext context, Collector<String> to) throws Exception {
      count.update(k * 10);
      text.update("text \u00e9\u6587" + k);
      list.add(k.intValue());
      list.add(-k.intValue());
      map.put("m" + k, k / 2.0);
      map.put("n", -1.5);
      tuple.update(Tuple2.of("t" + k, k.intValue()));
      t3.update(Tuple3.of(-k, true, "x"));
      bytes.update(new byte[] {1, 2, k.byteValue()});
      flag.update(k % 2 == 0);
      sum.add(k);
      sum.add(5L);
      nested.update(new HashMap<>(Map.of("a", List.of(1L, k), "b", List.of())));
      Person p = new Person();
      p.name = k % 3 == 0 ? null : "p" + k;
      p.age = k.intValue();
      p.id = k == 1 ? null : k;
      p.score = k / 4.0;
      p.ok = true;
      p.raw = new byte[] {9};
      p.inner = new Inner();
      p.inner.s = 7;
      p.inner.f = 1.5f;
      p.inner.c = 'z';
      p.inner.b = -1;
      person.update(p);
      context.timerService().registerEventTimeTimer(1000 + k);
      done.incrementAndGet();
    }

    @Override public void processBroadcastElement(Tuple2<String, Integer> rule, Context context, Collector<String> to)
        throws Exception {
      context.getBroadcastState(RULES).put(rule.f0, rule.f1);
      rules.incrementAndGet();
    }
  }

  public static void main(String[] args) throws Exception {
    String dir = args[0];
    int parallelism = Integer.parseInt(args[1]);
    long keys = Long.parseLong(args[2]);
    Configuration c = new Configuration();
    c.setString("state.backend.type", args[3].equals("rocksdb") ? "rocksdb" : "hashmap");
    c.setString("execution.checkpointing.incremental", "true");
    c.setString("execution.checkpointing.dir", "file://" + dir + "/checkpoints");
    c.setString("execution.checkpointing.data-inline-threshold", "0");
    c.setString("execution.checkpointing.snapshot-compression", String.valueOf(args[4].equals("snappy")));
    c.setString("rest.port", "0");
    c.setString("rest.bind-port", "0");
    StreamExecutionEnvironment e = StreamExecutionEnvironment.getExecutionEnvironment(c);
    e.setParallelism(parallelism);
    e.setMaxParallelism(Integer.parseInt(System.getenv().getOrDefault("MAXP", "128")));
    e.enableCheckpointing(600000);
    DataStream<Long> numbers = e.addSource(new Numbers(keys)).setParallelism(1).uid("numbers").returns(Types.LONG);
    BroadcastStream<Tuple2<String, Integer>> broadcast = e.addSource(new Rules()).setParallelism(1).uid("rules")
        .returns(Types.TUPLE(Types.STRING, Types.INT)).broadcast(Keyed.RULES);
    numbers.keyBy((KeySelector<Long, String>) k -> "key-" + k, Types.STRING).connect(broadcast).process(new Keyed())
        .uid("keyed").name("Keyed").returns(Types.STRING).addSink(new DiscardingSink<>());
    JobClient job = e.executeAsync("job");
    while (done.get() < keys || rules.get() < 2L * parallelism) Thread.sleep(50);
    SavepointFormatType format = args[3].equals("canonical") ? SavepointFormatType.CANONICAL : SavepointFormatType.NATIVE;
    String at = job.stopWithSavepoint(false, "file://" + dir + "/savepoints", format).get();
    System.out.println("{\"path\":\"" + at.replaceFirst("^file:/*", "/") + "\"}");
    System.exit(0);
  }
}
