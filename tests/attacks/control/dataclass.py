# expect: pass
# kind: 10
# limits: cpu_s=5 wall_s=30
# check: order = Order()
# check: order.add("tea", 2.5, 4)
# check: order.add("cup", 10.0)
# check: assert order.total == 20.0
# check: assert order.items[0].quantity == 4
# check: assert order.items[1].name == "cup"
# check: assert repr(order.items[1]) == "Item(name='cup', price=10.0, quantity=1)"
# check: assert Order().items == []
from dataclasses import dataclass, field
@dataclass
class Item:
    name: str
    price: float
    quantity: int = 1

@dataclass
class Order:
    items: list = field(default_factory=list)

    def add(self, name, price, quantity=1):
        self.items.append(Item(name, price, quantity))

    @property
    def total(self):
        return sum(item.price * item.quantity for item in self.items)
