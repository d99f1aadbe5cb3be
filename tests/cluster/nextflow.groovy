// What a test needs of Nextflow: processes, one after the other, with their values and retries.
//   groovy nextflow.groovy WORKFLOW images=... out=... shards=... options=...
import org.codehaus.groovy.control.CompilerConfiguration

class Task { int cpus = 1; int exitStatus = 0 }

class Process {
    Closure body; String name
    Task task = new Task(); int maxRetries = 0; Closure errorStrategy; Object value

    void setDirectives(Closure body) { this.body = body; body.delegate = this; body.resolveStrategy = Closure.DELEGATE_FIRST }
    def cpus(int count) { task.cpus = count }
    def memory(text) {}
    def time(text) {}
    def maxRetries(int count) { maxRetries = count }
    def errorStrategy(Closure strategy) {
        strategy.delegate = this; strategy.resolveStrategy = Closure.DELEGATE_FIRST; errorStrategy = strategy
    }
    def val(Object name) {}
    def file(String path) { new File(path).toPath() }
    def propertyMissing(String name) { if (name in ['shard', 'shards']) return value; throw new MissingPropertyException(name, Process) }

    def run(Object value) {
        this.value = value
        for (int tries = 0; ; tries++) {
            def script = File.createTempFile('command', '.sh'); script.text = body.call().toString()
            def process = new ProcessBuilder('bash', '-ue', script.path).inheritIO().start()
            task.exitStatus = process.waitFor(); script.delete()
            if (task.exitStatus == 0) return value
            if (tries < maxRetries && errorStrategy?.call() == 'retry') continue
            System.err.println("${name} ended with ${task.exitStatus}"); System.exit(1)
        }
    }
}

class Values {
    List values
    def or(Object step) { step == 'collect' ? new Values(values: [values]) : new Values(values: values.collect { step.run(it) }) }
}

class Channel { def of(Object range) { new Values(values: range as List) } }

abstract class Workflow extends Script {
    static Map processes = [:]
    def process(Process made) {}
    def workflow(Closure body) { body.resolveStrategy = Closure.OWNER_FIRST; body.call() }
    def getChannel() { new Channel() }
    def methodMissing(String name, Object arguments) {
        processes[name] = new Process(name: name, directives: arguments[0])
    }
    def propertyMissing(String name) { name == 'collect' ? 'collect' : processes[name] }
}

// As Nextflow's: what is given on the command line is not overwritten by the workflow's defaults.
class Params {
    final Map given
    private final Map values = [:]

    Params(Map given) { this.given = given }
    def propertyMissing(String name) { values[name] }
    def propertyMissing(String name, Object value) { values[name] = given.getOrDefault(name, value) }
}

def given = args.drop(1).collectEntries {
    def (name, value) = it.split('=', 2)
    [name, value.isInteger() ? value as int : value]
}
def params = new Params(given)
def configuration = new CompilerConfiguration(scriptBaseClass: 'Workflow')
new GroovyShell(this.class.classLoader, new Binding(params: params), configuration).evaluate(new File(args[0]))
