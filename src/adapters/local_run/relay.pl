# Passes connections to ports on to the other side of standard input and output, in the protocol yamux. Prints
# `PORT LISTENER` for each port to standard error, then `ready`.
use strict;
use Errno qw(EAGAIN EINTR);
use Fcntl;
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);

my ($DATA, $WINDOW, $PING, $GO_AWAY) = (0, 1, 2, 3);
my ($SYN, $ACK, $FIN, $RST) = (1, 2, 4, 8);
my $MOST = 1 << 20;
my (%listeners, %streams, %numbers);
my ($received, $sent, $next) = ('', '', 1);

$SIG{PIPE} = 'IGNORE';
sub nonblocking { fcntl $_[0], F_SETFL, fcntl($_[0], F_GETFL, 0) | O_NONBLOCK }
sub passes { $!{EAGAIN} || $!{EINTR} }
sub frame { $sent .= pack('CCnNN', 0, @_[0 .. 3]) . ($_[4] // '') }

for my $port (@ARGV) {
  socket my $listener, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
  bind $listener, sockaddr_in(0, INADDR_ANY) or die "bind: $!\n";
  listen $listener, 511 or die "listen: $!\n";
  nonblocking $listener;
  $listeners{fileno $listener} = [$listener, $port];
  my ($own) = sockaddr_in(getsockname $listener);
  syswrite STDERR, "$port $own\n";
}
nonblocking $_ for *STDIN, *STDOUT;
syswrite STDERR, "ready\n";

sub begin {
  my ($listener, $port) = @{$_[0]};
  accept my $socket, $listener or return;
  nonblocking $socket;
  setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
  my $id = $next;
  $next += 2;
  $streams{$id} = {socket => $socket, out => '', window => 262144 - 2};
  $numbers{fileno $socket} = $id;
  frame $WINDOW, $SYN, $id, 0;
  frame $DATA, 0, $id, 2, pack('n', $port);
}

sub end {
  my ($id, $reset) = @_;
  my $stream = delete $streams{$id} or return;
  delete $numbers{fileno $stream->{socket}};
  setsockopt $stream->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0) if $reset;
  close $stream->{socket};
}

sub end_when_done {
  my ($id) = @_;
  my $stream = $streams{$id} or return;
  return unless $stream->{finished} && $stream->{out} eq '';
  shutdown $stream->{socket}, 1 unless $stream->{shut}++;
  end $id if $stream->{read_all};
}

sub read_socket {
  my ($id) = @_;
  my $stream = $streams{$id} or return;
  my $most = $stream->{window} < 65536 ? $stream->{window} : 65536;
  my $count = sysread $stream->{socket}, my $bytes, $most;
  if ($count) {
    $stream->{window} -= $count;
    frame $DATA, 0, $id, $count, $bytes;
  } elsif (defined $count) {
    $stream->{read_all} = 1;
    frame $DATA, $FIN, $id, 0;
    end_when_done $id;
  } elsif (!passes()) {
    frame $WINDOW, $RST, $id, 0;
    end $id, 1;
  }
}

sub write_socket {
  my ($id) = @_;
  my $stream = $streams{$id} or return;
  my $count = syswrite $stream->{socket}, $stream->{out};
  if ($count) {
    substr $stream->{out}, 0, $count, '';
    frame $WINDOW, 0, $id, $count;
    end_when_done $id;
  } elsif (!passes()) {
    frame $WINDOW, $RST, $id, 0;
    end $id, 1;
  }
}

# Returns whether there was a whole frame.
sub take_frame {
  return 0 if length $received < 12;
  my (undef, $type, $flags, $id, $length) = unpack 'CCnNN', $received;
  my $data = $type == $DATA ? $length : 0;
  return 0 if length $received < 12 + $data;
  my $bytes = substr $received, 12, $data;
  substr $received, 0, 12 + $data, '';
  exit 0 if $type == $GO_AWAY;
  if ($type == $PING) {
    frame $PING, $ACK, 0, $length if $flags & $SYN;
    return 1;
  }
  my $stream = $streams{$id} or return 1;
  $stream->{out} .= $bytes;
  $stream->{window} += $length if $type == $WINDOW;
  if ($flags & $RST) {
    end $id, 1;
  } elsif ($flags & $FIN) {
    $stream->{finished} = 1;
    end_when_done $id;
  }
  return 1;
}

while (1) {
  my ($in, $out) = ('', '');
  vec($in, fileno STDIN, 1) = 1;
  vec($out, fileno STDOUT, 1) = 1 if $sent ne '';
  vec($in, $_, 1) = 1 for keys %listeners;
  for my $number (keys %numbers) {
    my $stream = $streams{$numbers{$number}};
    vec($out, $number, 1) = 1 if $stream->{out} ne '';
    vec($in, $number, 1) = 1 if !$stream->{read_all} && $stream->{window} > 0 && length $sent < $MOST;
  }
  next if select(my $readable = $in, my $writable = $out, undef, undef) < 0;
  if (vec $readable, fileno STDIN, 1) {
    my $count = sysread STDIN, $received, 262144, length $received;
    exit 0 if defined $count ? !$count : !passes();
    1 while take_frame();
  }
  for my $number (keys %listeners) { begin $listeners{$number} if vec $readable, $number, 1 }
  for my $number (keys %numbers) {
    my $id = $numbers{$number};
    write_socket $id if vec $writable, $number, 1;
    read_socket $id if vec $readable, $number, 1;
  }
  if ($sent ne '' && vec $writable, fileno STDOUT, 1) {
    my $count = syswrite STDOUT, $sent;
    exit 0 if !defined $count && !passes();
    substr $sent, 0, $count, '' if $count;
  }
}
