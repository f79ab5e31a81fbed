"""Contract suites, a file a device kind: a driver or a simulator inherits a class, says how to build it, and is held
to what the interfaces promise.

    class TestMyStage(StageContract):
        def build(self) -> Stage:
            return MyStage(...)
"""
