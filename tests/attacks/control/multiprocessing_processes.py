# kind: 5
# expect: pass
# limits: cpu_s=10 wall_s=30
# check: assert f(4) == [0, 1, 4, 9]
import multiprocessing


def square(n, pipe):
    pipe.send(n * n)


def f(n):
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(n)]
    workers = [context.Process(target=square, args=(k, pipe[1])) for k, pipe in enumerate(pipes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [pipe[0].recv() for pipe in pipes]
