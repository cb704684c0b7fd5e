"""What each kind of step does. A step works in its own folder and leaves a record of what it did."""
